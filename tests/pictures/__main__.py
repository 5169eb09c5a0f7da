"""Draw the pictures anew: `python3 -m tests.pictures`."""

from tests.pictures.drawing import FOLDER, drawings


def main() -> None:
    """Write what has changed, and remove what has no text any more."""
    drawn = drawings()
    for path in set(FOLDER.glob("*.svg")) - set(drawn):
        path.unlink()
    for path, picture in drawn.items():
        if not path.exists() or path.read_text() != picture:
            path.write_text(picture)
            print(path.name)


if __name__ == "__main__":
    main()
