"""What is seen of pictures, and how they are made smaller."""

import struct
import sys
import zlib
from collections.abc import AsyncIterator

import pytest
from PIL import Image
from tests.drawn import bomb, drawn, opened, size_of
from tests.papers import png

from antiphon.guard.pool import Busy
from antiphon.retrieval.pictures import Bounds, Pictures
from antiphon.retrieval.pixels import Seen

FORMS = ("PNG", "JPEG", "GIF", "WEBP")
SMALL = Bounds(side=64, pixels=64 * 64)


@pytest.fixture
async def pictures() -> AsyncIterator[Pictures]:
    pictures = Pictures()
    yield pictures
    await pictures.close()


@pytest.mark.parametrize("form", FORMS)
async def test_a_sound_picture_has_a_size_and_no_fault(pictures: Pictures, form: str) -> None:
    assert await pictures.look(drawn(40, 30, form)) == Seen(40, 30)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16"])
async def test_a_picture_of_any_colours_is_sound(pictures: Pictures, mode: str) -> None:
    assert await pictures.look(drawn(40, 30, mode=mode)) == Seen(40, 30)


async def test_a_jpeg_for_print_is_sound(pictures: Pictures) -> None:
    assert await pictures.look(drawn(40, 30, "JPEG", "CMYK")) == Seen(40, 30)


@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("GIF", "RGBA")])
async def test_whether_pixels_may_be_transparent_is_seen(pictures: Pictures, form: str, mode: str) -> None:
    assert (await pictures.look(drawn(40, 30, form, mode))).transparent


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0jpeg", b"GIF89agif", b"RIFF\0\0\0\0WEBPVP8 ", b"x"]
)
async def test_what_is_no_picture_is_told(pictures: Pictures, data: bytes) -> None:
    assert await pictures.look(data) == Seen(fault="invalid_image")


@pytest.mark.parametrize("form", FORMS)
async def test_a_picture_that_breaks_off_cannot_be_read(pictures: Pictures, form: str) -> None:
    whole = drawn(200, 150, form)
    assert (await pictures.look(whole[: len(whole) * 2 // 3])).fault is not None


async def test_pixels_that_are_damaged_cannot_be_read(pictures: Pictures) -> None:
    data = bytearray(drawn(200, 150))
    begin = data.index(b"IDAT") + 8
    data[begin : begin + 20] = b"\xff" * 20
    assert await pictures.look(bytes(data)) == Seen(200, 150, fault="image_parse_error")


async def test_a_picture_without_pixels_is_none(pictures: Pictures) -> None:
    assert await pictures.look(png(0, 3)) == Seen(fault="invalid_image")


async def test_a_picture_with_too_many_pixels_is_not_decoded(pictures: Pictures) -> None:
    found = await pictures.look(bomb(10_000))
    assert found == Seen(10_000, 10_000)
    assert found.too_large


async def test_text_in_a_picture_is_no_bomb(pictures: Pictures) -> None:
    """A chunk of text that would be a gigabyte."""
    text = b"zTXt" + b"a\0\0" + zlib.compress(bytes(200_000_000), 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    whole = drawn(8, 8)
    head = whole.index(b"IDAT") - 4
    assert (await pictures.look(whole[:head] + chunk + whole[head:])).fault is not None


def laborious() -> bytes:
    """A picture of one pixel with millions of chunks before it, each of which is looked at."""
    chunk = struct.pack(">I", 0) + b"abCd" + struct.pack(">I", zlib.crc32(b"abCd"))
    whole = png(1, 1)
    head = whole.index(b"IDAT") - 4
    return whole[:head] + chunk * 3_000_000 + whole[head:]


async def test_what_takes_too_long_is_told_and_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.guard.pool._WAITS", 10_000)  # of a hundredth of a second
    pictures, data = Pictures(seconds=0.01), laborious()
    try:
        assert await pictures.look(data) == Seen(fault="invalid_image")
        monkeypatch.setattr(sys, "executable", "/nowhere/at/all")
        assert await pictures.look(data) == Seen(fault="invalid_image")
        with pytest.raises(Busy):
            await pictures.look(drawn(40, 30))
    finally:
        await pictures.close()


async def test_a_machine_that_is_slow_is_no_fault_of_a_picture(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = drawn(300, 300)
    with monkeypatch.context() as patch:
        patch.setattr("antiphon.guard.pool._WAITS", 0)
        with pytest.raises(Busy):
            await pictures.look(data)
    assert await pictures.look(data) == Seen(300, 300)
    with monkeypatch.context() as patch:
        patch.setattr("antiphon.guard.pool._WAITS", 0)
        with pytest.raises(Busy):
            await pictures.within(data, SMALL)
    assert size_of(await pictures.within(data, SMALL)) == (64, 64)


@pytest.mark.parametrize("form", FORMS)
async def test_a_picture_within_bounds_stays_as_it_is(pictures: Pictures, form: str) -> None:
    data = drawn(64, 48, form)
    assert await pictures.within(data, SMALL) is data


@pytest.mark.parametrize(
    ("form", "becomes"), [("PNG", "PNG"), ("JPEG", "JPEG"), ("WEBP", "WEBP"), ("GIF", "PNG")]
)
@pytest.mark.parametrize(("size", "fitted"), [((640, 480), (64, 48)), ((48, 6400), (1, 64))])
async def test_a_larger_one_is_made_smaller_in_its_proportions(
    pictures: Pictures, form: str, becomes: str, size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    smaller = await pictures.within(drawn(*size, form), SMALL)
    assert size_of(smaller) == fitted
    assert opened(smaller).format == becomes


async def test_pixels_have_a_bound_of_their_own(pictures: Pictures) -> None:
    smaller = await pictures.within(drawn(200, 200), Bounds(side=1000, pixels=10_000))
    assert size_of(smaller) == (100, 100)


@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("PNG", "P"), ("JPEG", "CMYK")])
async def test_colours_and_transparency_stay(pictures: Pictures, form: str, mode: str) -> None:
    smaller = opened(await pictures.within(drawn(640, 480, form, mode), SMALL))
    assert smaller.size == (64, 48)
    assert ("A" in smaller.mode) == ("A" in mode)


async def test_a_turned_photo_is_made_upright(pictures: Pictures) -> None:
    """What says that it is turned is lost with its data."""
    exif = Image.Exif()
    exif[0x0112] = 6
    smaller = await pictures.within(drawn(640, 480, "JPEG", exif=exif), SMALL)
    assert size_of(smaller) == (48, 64)


async def test_of_a_phones_photo_with_several_pictures_the_first_is_made_smaller(pictures: Pictures) -> None:
    data = drawn(640, 480, "MPO", save_all=True, append_images=[Image.new("RGB", (160, 120))])
    smaller = opened(await pictures.within(data, SMALL))
    assert (smaller.size, smaller.format) == ((64, 48), "JPEG")


async def test_one_that_moves_or_has_finer_colours_stays_as_it_is(pictures: Pictures) -> None:
    frames = [Image.new("RGB", (300, 300), colour) for colour in ("red", "blue")]
    for data in (
        drawn(300, 300, "GIF", save_all=True, append_images=frames),
        drawn(300, 300, mode="I;16"),
    ):
        assert await pictures.within(data, SMALL) is data


async def test_a_picture_is_decoded_once(pictures: Pictures) -> None:
    """Each turn of a chain brings it again."""
    data = drawn(300, 300)
    smaller = await pictures.within(data, SMALL)
    assert await pictures.within(bytes(bytearray(data)), SMALL) is smaller
    assert await pictures.look(data) == Seen(300, 300)
