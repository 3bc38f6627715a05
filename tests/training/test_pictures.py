"""Pictures of any shape: kept whole, never enlarged, in as much memory as their pixels take."""

import numpy as np
import pytest
import torch
from PIL import Image

from training.pictures import Pictures, reduced


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in ((4, 6), (9, 5), (7, 7), (1, 11))]


class TestPictures:
    def test_each_comes_back_and_takes_3_bytes_a_pixel(self, arrays):
        pictures = Pictures.of(arrays)
        assert len(pictures) == 4
        assert pictures.values.nbytes == sum(array.nbytes for array in arrays)
        for i, array in enumerate(arrays):
            assert torch.equal(pictures.one(i)[0].permute(1, 2, 0), torch.from_numpy(array))

    def test_some_of_them_share_the_memory(self, arrays):
        pictures = Pictures.of(arrays)
        for some in (pictures[torch.tensor([3, 1])], pictures[1:3]):
            assert some.values.data_ptr() == pictures.values.data_ptr()
            assert len(some) == 2
        assert torch.equal(pictures[torch.tensor([3, 1])].one(1), pictures.one(1))

    def test_parts_are_those_of_a_tensor(self, arrays):
        pictures, numbers = Pictures.of(arrays), torch.arange(4)
        for parts in (1, 2, 3, 4, 9):
            assert [len(part) for part in pictures.chunk(parts)] == [len(part) for part in numbers.chunk(parts)]
        assert [len(part) for part in pictures.split(3)] == [3, 1]

    def test_packed_ones_take_no_pixels_of_others_along(self, arrays):
        some = Pictures.of(arrays)[torch.tensor([3, 1])]
        packed = some.packed()
        assert packed.values.nbytes == arrays[3].nbytes + arrays[1].nbytes
        assert all(torch.equal(packed.one(i), some.one(i)) for i in range(2))

    def test_of_a_tensor(self):
        pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6), dtype=np.uint8))
        pictures = Pictures.of_one_shape(pixels)
        assert torch.equal(torch.cat([pictures.one(i) for i in range(5)]), pixels)

    def test_a_canvas_has_each_in_its_upper_left(self, arrays):
        pictures = Pictures.of(arrays)[torch.tensor([2, 0, 3, 1])]
        canvas = pictures.canvas(torch.float32)
        assert list(canvas.shape) == [4, 9, 3, 11]
        for i, (height, width) in enumerate(pictures.size.tolist()):
            assert torch.equal(canvas[i, :height, :, :width].transpose(0, 1), pictures.one(i)[0].float())


class TestReduced:
    def test_is_the_whole_picture_at_its_shape(self):
        image = Image.fromarray(np.tile(np.linspace(0, 255, 500).astype(np.uint8)[None, :, None], (375, 1, 3)))
        found = reduced(image, 216)
        assert found.shape == (187, 249, 3)
        assert found[:, 0].max() < 3
        assert found[:, -1].min() > 252

    def test_never_enlarges(self):
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
        assert np.array_equal(reduced(image, 432), np.asarray(image))

    @pytest.mark.parametrize("shape", [(4000, 3000), (2000, 100), (1, 5000), (5000, 1), (433, 432), (72, 72)])
    @pytest.mark.parametrize("size", [16, 64, 432])
    def test_takes_no_more_than_its_area(self, shape, size):
        height, width, _ = reduced(Image.new("RGB", shape[::-1]), size).shape
        assert 1 <= height * width <= size * size
        if min(height, width) > 15:
            assert height * width > 0.95 * min(size * size, shape[0] * shape[1])
            assert width / height == pytest.approx(shape[1] / shape[0], rel=0.15)
        if shape == (72, 72):
            assert height == width == min(size, 72)
