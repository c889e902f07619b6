import model_hub.huggingface as hf


class BrokenTrial(hf.BaseTransformerTrial):
    data_types = (hf.DatasetKwargs, NoSuchKwargs)  # noqa: F821 # What the test is about.
