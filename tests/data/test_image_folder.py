"""Folders of images: classes, roles, sizes, and whatever can be wrong with a file."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from splitward.core.errors import DataError
from splitward.data import folder as folder_module
from splitward.data.dataset import load
from splitward.data.images import decode, read_image


def write(path, seed=0, size=(20, 30), mode="RGB"):
    """A picture of smooth colours, different for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BILINEAR).convert(mode).save(path)


@pytest.fixture
def flat(tmp_path):
    for i in range(20):
        write(tmp_path / "flat" / f"{i}.png", seed=i)
    return tmp_path / "flat"


def keys(samples):
    return {image.numpy().tobytes() for image in samples.images}


def test_a_flat_folder_is_split_by_content(flat, tmp_path):
    data = load(str(flat), input=(3, 16, 16))
    assert data.counts == (12, 4, 4)
    assert data.classes == ()
    assert data.train.labels is None
    assert not keys(data.train) & keys(data.public) | keys(data.public) & keys(data.held_out)
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for path in flat.iterdir():
        (renamed / f"{hash(path.name) % 10**6}.png").write_bytes(path.read_bytes())
    again = load(str(renamed), input=(3, 16, 16))
    for role in ("train", "public", "held_out"):
        assert getattr(data, role).images.equal(getattr(again, role).images)


def test_class_folders_give_labels_and_every_class_has_every_role(tmp_path):
    for i in range(30):
        write(tmp_path / ("cats" if i < 20 else "dogs") / "deep" / f"{i}.jpg", seed=i)
    write(tmp_path / "loose.png", seed=99)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "nothing").mkdir()
    data = load(str(tmp_path), input=(1, 8, 8))
    assert data.classes == ("cats", "dogs")
    assert data.counts == (18, 6, 6)
    for role in (data.train, data.public, data.held_out):
        assert role.labels.bincount().tolist() == [2 * len(role) // 3, len(role) // 3]
    assert any("1 images" in w and "beside the class folders" in w for w in data.warnings)


@pytest.mark.parametrize("middle", ["val", "Validation", None])
def test_train_val_test_are_respected(tmp_path, middle):
    for i in range(16):
        write(tmp_path / "train" / f"class{i % 2}" / f"{i}.png", seed=i)
    for i in range(6):
        write(tmp_path / "TEST" / f"class{i % 3}" / f"{i}.png", seed=100 + i)
    if middle:
        for i in range(5):
            write(tmp_path / middle / "class1" / f"{i}.png", seed=200 + i)
    data = load(str(tmp_path), input=(3, 8, 8))
    assert data.classes == ("class0", "class1", "class2")
    assert data.counts == ((16, 5, 6) if middle else (12, 4, 6))
    if middle:
        assert data.public.labels.tolist() == [1] * 5


def test_shorter_side_is_resized_and_the_centre_cut_out(tmp_path):
    wide = np.zeros((10, 40), np.uint8)
    wide[:, 15:25] = 255
    for i in range(5):
        wide[0, 15] = i  # else they would be repeated images
        (tmp_path / "w").mkdir(exist_ok=True)
        Image.fromarray(wide).save(tmp_path / "w" / f"{i}.png")
    data = load(str(tmp_path / "w"), input=(1, 10, 10))
    assert (data.train.images[:, 0, 1:] == 1).all()
    assert data.degrees_of_freedom == 100
    larger = load(str(tmp_path / "w"), input=(3, 20, 20))
    assert larger.train.images.shape[1:] == (3, 20, 20)
    assert larger.degrees_of_freedom == 3 * 400  # 10x40 pixels is as many as 20x20


def test_modes_grey_palette_transparent_deep_and_turned(tmp_path):
    def one(image, **options):
        home = tmp_path / str(len(list(tmp_path.iterdir())))
        for i in range(5):
            write(home / f"{i}.png", seed=i, size=image.size)
        image.save(home / "train_me.png", **options)
        shape = (3, image.height, image.width)
        return read_image(home / "train_me.png", shape)

    red = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (one(red) == 255).all()  # transparent: white
    assert (one(Image.new("P", (4, 4), 0)) < 10).all()
    assert (one(Image.new("LA", (4, 4), (0, 128)))[:, 0, 0] == 127).all()
    deep = Image.fromarray(np.full((4, 4), 40_000, np.uint16))
    assert (one(deep) == 40_000 >> 8).all()
    tall = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(6, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    home = tmp_path / "turned"
    home.mkdir()
    tall.save(home / "a.png", exif=exif)
    assert folder_module._size(home / "a.png") == (1, 4, 6)
    assert np.asarray(decode(home / "a.png", (1, 4, 6))).shape == (4, 6)


def test_without_an_input_all_images_must_have_one_size(flat):
    data = load(str(flat))
    assert data.train.images.shape[1:] == (3, 30, 20)
    write(flat / "another.png", seed=77, size=(8, 8))
    with pytest.raises(DataError, match="2 different sizes"):
        load(str(flat))


def test_repeated_images_are_dropped_and_told(flat):
    for i, path in enumerate(sorted(flat.iterdir())[:7]):
        Image.open(path).save(flat / f"copy{i}.bmp")  # another file, the same pixels
    data = load(str(flat), input=(3, 30, 20))
    assert sum(data.counts) == 20
    assert "7 repeated images dropped" in data.note


def bomb(side):
    """A PNG of a few hundred bytes that announces ``side`` x ``side`` pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not an image", "its format is not known"),
        (b"", "its format is not known"),
        (bomb(30_000), "refused: it unpacks to more than 64,000,000"),
        (bomb(9_000), "refused: it has 9000x9000 pixels"),
    ],
    ids=["text", "empty", "bomb", "smaller bomb"],
)
def test_a_file_that_is_no_image_is_named(flat, content, says):
    (flat / "odd.png").write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        load(str(flat), input=(3, 16, 16))
    assert "odd.png" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_image_is_named(flat):
    whole = (flat / "3.png").read_bytes()
    (flat / "3.png").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match=r"3\.png is a broken image"):
        load(str(flat), input=(3, 16, 16))


def test_floating_point_images_are_refused(flat):
    Image.fromarray(np.ones((4, 4), np.float32)).save(flat / "float.tiff")
    with pytest.raises(DataError, match="floating-point"):
        load(str(flat), input=(3, 16, 16))


def test_empty_and_nearly_empty_folders(tmp_path):
    with pytest.raises(DataError, match="no image in"):
        load(str(tmp_path))
    write(tmp_path / "one.png")
    with pytest.raises(DataError, match="too few"):
        load(str(tmp_path))


def test_what_would_not_fit_into_memory_is_refused(flat, monkeypatch):
    monkeypatch.setattr(folder_module, "MAX_BYTES", 20 * 3 * 16 * 16 * 4 - 1)
    with pytest.raises(DataError, match="at most 19"):
        load(str(flat), input=(3, 16, 16))


def test_channels_that_no_image_has(flat):
    with pytest.raises(DataError, match=r"1 \(grey\) or 3 \(colour\) channels, not the 4"):
        load(str(flat), input=(4, 16, 16))


def test_neither_a_set_nor_a_folder():
    with pytest.raises(DataError, match="did you mean mnist"):
        load("mnits")
    with pytest.raises(DataError, match="the catalogue has cifar10, digits"):
        load("/no/such/folder")
