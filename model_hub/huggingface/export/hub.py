"""Upload an exported model to the Hugging Face Hub."""

import pathlib

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from model_hub.errors import UserError


def check_repository(repository: str) -> None:
    """Check the name of a repository on the Hub, before anything is exported.

    Raises:
        UserError: when it is not of the form ``owner/name``.
    """
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(f"--push-to-hub {repository!r}: {error}") from error
    if repository.count("/") != 1:
        raise UserError(f"--push-to-hub is {repository!r}; write OWNER/NAME.")


def push(folder: pathlib.Path, repository: str, *, private: bool = False) -> str:
    """Upload an exported folder to the Hugging Face Hub; create the repository if it is missing.

    Returns:
        The URL of the repository, ``owner/name``.

    Raises:
        UserError: when the Hub cannot be reached, or refuses the upload.
    """
    hub = huggingface_hub.HfApi()
    advice = f"The model stays in {str(folder)!r}"
    try:
        address = str(hub.create_repo(repository, private=private, exist_ok=True))
        hub.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Upload with model-hub"
        )
    except (HfHubHTTPError, LocalTokenNotFoundError) as error:
        raise UserError(
            f"--push-to-hub: the Hub refuses {repository!r}: {str(error).splitlines()[0]} "
            f"{advice}. Log in with 'hf auth login', with a token that may write there."
        ) from error
    except Exception as error:  # Whatever the HTTP library of the Hub's client raises.
        raise UserError(
            f"--push-to-hub: the Hugging Face Hub cannot be reached: {str(error).splitlines()[0]} "
            f"{advice}; later, 'hf upload {repository} {folder}' does the rest."
        ) from error
    return address
