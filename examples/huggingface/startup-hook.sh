# Installs model-hub when a task's container starts, for an image that does not have it.
#
# Determined runs a file of this name at the top of the context directory, in the shell that goes on
# to start the trial, in every container and at every restart; if it fails, so does the task. Hand it
# over together with the package, from the folder of an example:
#
#     (cd ../../.. && python3 -m pip wheel --no-deps --wheel-dir dist .)
#     det experiment create squad.yaml . --include ../startup-hook.sh \
#         --include ../../../dist/model_hub-*.whl
#
# With `--include ../../../constraints.txt` the other packages get the versions of the tests.

# The image's torch fits its CUDA, and the cluster's determined its master: pip is not to replace
# them. If they are too old or too new for model-hub, it says so and the task ends here.
kept=$(mktemp)
python3 -m pip list --format=freeze 2> /dev/null | grep -E '^(torch|determined)==' > "$kept" || true
if [ -f constraints.txt ]; then
    grep -vE '^(torch|determined)==' constraints.txt >> "$kept"
fi
python3 -m pip install --quiet -c "$kept" ./model_hub-*.whl
# Once more, without what it needs: pip leaves a model-hub of the same version in the image alone.
python3 -m pip install --quiet --no-deps --force-reinstall ./model_hub-*.whl
rm "$kept"
