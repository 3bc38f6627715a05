"""Crops: torchvision as the oracle, an independent draw for each image, the same draw for the same key."""

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.v2 import functional as reference

from tests.training.test_colours import by_torchvision
from training import crops
from training.colours import blur
from training.config import TrainConfig, load_config
from training.crops import (
    Draws,
    View,
    augment,
    crop_boxes,
    cut_one_by_one,
    cut_together,
    multi_crop,
    resize_matrix,
    uniforms,
    views,
)
from training.pictures import Pictures

PLAIN = View(size=16, scale=(1, 1), ratio=1, flip=0, jitter_p=0, grey_p=0)
FULL = View(size=12, scale=(0.2, 1), blur_p=0.5, solarise_p=0.5)
SHAPES = ((40, 30), (31, 47), (20, 64), (36, 36))


def pictures(n=6, side=16, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, 3, side, side), dtype=np.uint8))


def of_many_shapes(n=12):
    """Smooth pictures, so that no filter leaves 0..255."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(n):
        height, width = SHAPES[i % len(SHAPES)]
        coarse = torch.from_numpy(rng.uniform(60, 200, (1, 3, 6, 6)))
        made.append(reference.resize(coarse, [height, width], antialias=False)[0].permute(1, 2, 0).byte().numpy())
    return Pictures.of(made)


def draws(n, view=0, seed=0, epoch=0):
    return uniforms(seed, epoch, torch.arange(n), view)


def boxes_of(view, height, width, n, seed=0):
    """Top, left, height and width of n crops of a picture."""
    size = torch.tensor([[height, width]]).expand(n, 2)
    return crop_boxes(size, [view], Draws.of(draws(n, seed=seed)[None]))[0]


def boxes_of_torchvision(view, height, width, n):
    torch.manual_seed(0)
    image, ratio = torch.empty(1, height, width), (1 / view.ratio, view.ratio)
    return torch.tensor([RandomResizedCrop.get_params(image, list(view.scale), list(ratio)) for _ in range(n)])


class TestUniforms:
    def test_are_uniform_and_independent(self):
        u = uniforms(0, 0, torch.arange(20_000), 0).numpy()
        assert u.min() >= 0
        assert u.max() < 1
        for column in u.T:
            assert stats.kstest(column, "uniform").pvalue > 1e-4
        correlation = np.corrcoef(u.T) - np.eye(u.shape[1])
        assert np.abs(correlation).max() < 5 / np.sqrt(len(u))
        assert abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 5 / np.sqrt(len(u))

    def test_every_key_changes_them(self):
        index = torch.arange(50)
        base = uniforms(1, 2, index, 3)
        for other in (uniforms(2, 2, index, 3), uniforms(1, 3, index, 3), uniforms(1, 2, index, 4)):
            assert not (base == other).any()
        assert not torch.equal(uniforms(1, 2, index, 3), uniforms(2, 1, index, 3))  # keys are not interchangeable
        assert torch.equal(base, uniforms(1, 2, index, 3))

    def test_an_image_draws_the_same_in_any_batch(self):
        whole = uniforms(5, 1, torch.arange(100), 2)
        order = torch.randperm(100)
        assert torch.equal(uniforms(5, 1, order, 2), whole[order])

    def test_views_asked_for_together_draw_as_one_by_one(self):
        index = torch.arange(7)
        together = uniforms(3, 2, index, torch.tensor([0, 5, 1]), count=4)
        for v, view in enumerate((0, 5, 1)):
            assert torch.equal(together[:, v], uniforms(3, 2, index, view, count=4))


class TestBoxes:
    @pytest.mark.parametrize(
        ("scale", "height", "width"), [((0.4, 1), 375, 500), ((0.05, 0.4), 375, 500), ((0.4, 1), 28, 28)]
    )
    def test_are_distributed_as_those_of_torchvision(self, scale, height, width):
        """benchmarks/crops.py compares 60,000 draws."""
        view, n = View(size=8, scale=scale), 6000
        ours, theirs = (of(view, height, width, n).double().numpy() for of in (boxes_of, boxes_of_torchvision))
        figures = {
            **{name: [boxes[:, i] for boxes in (ours, theirs)] for i, name in enumerate(("top", "left", "h", "w"))},
            "area": [boxes[:, 2] * boxes[:, 3] for boxes in (ours, theirs)],
            "aspect": [boxes[:, 3] / boxes[:, 2] for boxes in (ours, theirs)],
            "right": [width - boxes[:, 1] - boxes[:, 3] for boxes in (ours, theirs)],
        }
        for name, (a, b) in figures.items():
            assert stats.ks_2samp(a, b).pvalue > 1e-4, name

    def test_mean_area_and_share_of_full_sides(self):
        """Clamping a side in place of another try gives .69, and 22 % that span a side."""
        top, left, height, width = boxes_of(View(size=8, scale=(0.4, 1)), 256, 256, 60_000).double().unbind(1)
        assert (height * width).mean().item() / 256**2 == pytest.approx(0.642, abs=0.003)
        assert ((height == 256) | (width == 256)).double().mean().item() == pytest.approx(0.014, abs=0.003)
        assert min(top.min(), left.min()) == 0
        assert max((top + height).max(), (left + width).max()) == 256

    def test_of_a_panorama_are_central_where_no_shape_fits(self):
        view = View(size=8, scale=(0.4, 1))
        for height, width, box in ((100, 1000, [0, 433, 100, 133]), (1000, 100, [433, 0, 133, 100])):
            assert boxes_of(view, height, width, 50).tolist() == [box] * 50
            assert boxes_of_torchvision(view, height, width, 3).tolist() == [box] * 3

    def test_reach_every_part_of_the_picture(self):
        """Of a central square a quarter of it would never be seen."""
        for view in (View(size=8, scale=(0.4, 1)), View(size=8, scale=(0.05, 0.4))):
            seen = torch.zeros(30, 40, dtype=torch.bool)
            for top, left, height, width in boxes_of(view, 30, 40, 2000).tolist():
                seen[top : top + height, left : left + width] = True
            assert seen.all()

    def test_no_crop_is_smaller_than_its_view_in_the_recipes_of_the_paper(self):
        """At store_size pixels squared; a smaller image is as it came."""
        for config in (
            TrainConfig(),
            *(load_config(f"configs/imagenet-{name}.yaml") for name in ("vitb16", "vits16")),
        ):
            for view in views(config):
                assert view.scale[0] * config.store_size**2 >= view.size**2


class TestCut:
    """Crop, resize and flip, by torch one crop at a time (on a CPU) and by products of matrices (on a GPU)."""

    def drawn(self, seed=0):
        some, u = of_many_shapes(), uniforms(seed, 0, torch.arange(12), torch.arange(3)).transpose(0, 1)
        boxes = crop_boxes(
            some.size, [View(size=12, scale=scale) for scale in ((0.4, 1), (0.05, 0.4), (1, 1))], Draws.of(u)
        )
        return some, boxes, Draws.of(u).flip < 0.5

    def by_torchvision(self, some, boxes, flipped, kind):
        made = torch.empty(3, 12, 3, 12, 12)
        for v, i in np.ndindex(3, 12):
            image = some.one(i).to(kind)
            crop = reference.resized_crop(image, *boxes[v, i].tolist(), [12, 12], InterpolationMode.BICUBIC)
            made[v, i] = (crop.flip(-1) if flipped[v, i] else crop)[0].float() / 255
        return made.clamp(0, 1)

    def test_one_by_one_is_torchvision_s_resized_crop_bit_for_bit(self):
        some, boxes, flipped = self.drawn()
        expected = self.by_torchvision(some, boxes, flipped, torch.uint8)
        assert (255 * (cut_one_by_one(some, boxes, flipped, 12) - expected)).abs().max() < 1e-4

    def test_together_is_that_of_floats(self):
        some, boxes, flipped = self.drawn()
        expected = self.by_torchvision(some, boxes, flipped, torch.float32)
        assert cut_together(some, boxes, flipped, 12).numpy() == pytest.approx(expected.numpy(), abs=2e-6)

    def test_both_ways_differ_by_rounding(self):
        drawn = self.drawn()
        error = 255 * (cut_together(*drawn, 12) - cut_one_by_one(*drawn, 12)).abs()
        assert error.mean() < 0.4
        assert error.max() < 2.5

    def test_bf16_products_are_as_good_as_rounded_pixels(self):
        drawn = self.drawn()
        error = 255 * (cut_together(*drawn, 12, torch.bfloat16) - cut_together(*drawn, 12))
        assert 0 < error.abs().mean() < 0.7
        assert error.abs().max() < 4
        assert abs(error.mean()) < 0.2

    def test_a_batch_of_floats(self):
        image = torch.rand(3, 3, 20, 30, generator=torch.Generator().manual_seed(0))
        box, flip = torch.tensor([[[2, 3, 12, 20]] * 3]), torch.zeros(1, 3, dtype=torch.bool)
        some = Pictures.of_one_shape(image)
        expected = reference.resized_crop(image, 2, 3, 12, 20, [12, 12], InterpolationMode.BICUBIC).clamp(0, 1)
        for cut in (cut_one_by_one, cut_together):
            assert cut(some, box, flip, 12)[0].numpy() == pytest.approx(expected.numpy(), abs=2e-6)


class TestResize:
    def test_weights_sum_to_one_and_stay_in_the_crop(self):
        matrix = resize_matrix(20, 7, torch.tensor([0, 11]), torch.tensor([3, 9]))
        assert matrix.sum(2).numpy() == pytest.approx(np.ones((2, 7)), abs=1e-6)
        assert not matrix[0, :, 3:].any()
        assert not matrix[1, :, :11].any()

    def test_antialias_keeps_the_mean_of_a_fine_pattern(self):
        stripes = torch.tensor([0.0, 1.0]).repeat(32)
        small = resize_matrix(64, 8, torch.tensor([0]), torch.tensor([64]))[0] @ stripes
        assert small.numpy() == pytest.approx(np.full(8, 0.5), abs=0.04)

    def test_a_negative_length_is_a_mirror(self):
        start, length = torch.tensor([2, 0]), torch.tensor([11, 19])
        mirrored = resize_matrix(20, 7, start + length, -length)
        assert mirrored.numpy() == pytest.approx(resize_matrix(20, 7, start, length).flip(1).numpy(), abs=1e-6)


class TestAugment:
    def test_identity_gives_the_image_back(self):
        image = pictures()
        assert augment(image, PLAIN, draws(6)).numpy() == pytest.approx((image.float() / 255).numpy(), abs=1e-6)

    def test_flip(self):
        image = pictures()
        view = View(size=16, scale=(1, 1), ratio=1, flip=1, jitter_p=0, grey_p=0)
        assert augment(image, view, draws(6)).numpy() == pytest.approx((image.flip(3).float() / 255).numpy(), abs=1e-6)

    def test_each_image_has_its_own_draw(self):
        same = pictures(1).expand(40, -1, -1, -1)
        out = augment(same, FULL, draws(40)).flatten(1)
        assert len(torch.unique(out, dim=0)) == 40

    def test_a_batch_is_its_images_one_by_one(self):
        image, u = pictures(5), draws(5)
        whole = augment(image, FULL, u)
        for i in range(5):
            one = augment(image[i : i + 1], FULL, u[i : i + 1])
            assert whole[i].numpy() == pytest.approx(one[0].numpy(), abs=1e-5)

    def test_the_same_key_gives_the_same_pixels(self):
        image = pictures()
        assert torch.equal(augment(image, FULL, draws(6, epoch=3)), augment(image, FULL, draws(6, epoch=3)))
        assert not torch.equal(augment(image, FULL, draws(6, epoch=3)), augment(image, FULL, draws(6, epoch=4)))

    def test_values_stay_in_range(self):
        strong = View(size=8, scale=(0.05, 1), jitter=(1, 1, 1, 0.5), jitter_p=1, blur_p=1, solarise_p=0.5)
        out = augment(pictures(64), strong, draws(64))
        assert out.min() >= 0
        assert out.max() <= 1

    def test_solarise_inverts_the_bright_half(self):
        image = pictures()
        view = View(size=16, scale=(1, 1), ratio=1, flip=0, jitter_p=0, grey_p=0, solarise_p=1)
        x = image.float() / 255
        expected = torch.where(x >= 0.5, 1 - x, x)
        assert augment(image, view, draws(6)).numpy() == pytest.approx(expected.numpy(), abs=1e-6)

    def test_is_torchvision_s_of_the_numbers_drawn(self):
        """Every stage in torchvision's order, on pictures of many shapes; blur is apart, as borders differ."""
        view = View(size=10, scale=(0.2, 0.9), jitter=(0.6, 0.6, 0.8, 0.3), solarise_p=0.5)
        some, u = of_many_shapes(), draws(12)
        found = augment(some, view, u)
        by_name = Draws.of(u[:, None].transpose(0, 1))
        boxes = crop_boxes(some.size, [view], by_name)[0]
        for i in range(12):
            one = {name: value[0, i] for name, value in by_name._asdict().items()}
            box = boxes[i].tolist()
            image = reference.resized_crop(some.one(i)[0], *box, [10, 10], InterpolationMode.BICUBIC).float() / 255
            image = reference.horizontal_flip(image) if one["flip"] < 0.5 else image
            if one["jitter"] < 0.8:
                names = ("brightness", "contrast", "saturation", "hue")
                amounts = [(2 * one[name] - 1) * most for name, most in zip(names, view.jitter, strict=True)]
                image = by_torchvision(image, int(24 * one["order"]), torch.stack(amounts))
            image = reference.rgb_to_grayscale(image, 3) if one["grey"] < 0.2 else image
            image = torch.where(image > 0.5, 1 - image, image) if one["solarise"] < 0.5 else image
            assert found[i].numpy() == pytest.approx(image.numpy(), abs=1e-4), i

    def test_the_blur_comes_after_the_colours(self):
        image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        changes = {"size": 16, "scale": (1, 1), "flip": 0, "jitter_p": 1, "grey_p": 0}
        sharp = augment(image, View(**changes), draws(2))
        blur(sharp, torch.ones(2, dtype=torch.bool), torch.full((2,), 1.5))
        blurred = augment(image, View(**changes, blur_p=1, blur_sigma=(1.5, 1.5)), draws(2))
        assert blurred.numpy() == pytest.approx(sharp.numpy(), abs=1e-6)


class TestMultiCrop:
    VIEWS = (
        FULL,
        View(size=12, scale=(0.05, 0.4), flip=1, ratio=2, blur_p=1, blur_sigma=(0.1, 3), jitter=(0.1, 0.9, 0.3, 0.5)),
        View(size=12, scale=(0.5, 0.5), jitter_p=0, grey_p=0),
    )
    KEYS = torch.arange(len(VIEWS))

    def test_views_made_together_are_those_made_apart(self):
        image, u = pictures(5), uniforms(0, 0, torch.arange(5), self.KEYS)
        together = multi_crop(image, self.VIEWS, u)
        for v, view in enumerate(self.VIEWS):
            assert together[v].numpy() == pytest.approx(augment(image, view, draws(5, view=v)).numpy(), abs=1e-5)

    def test_parts_of_a_batch_make_the_whole(self, monkeypatch):
        image, u = of_many_shapes(), uniforms(0, 0, torch.arange(12), self.KEYS)
        whole = multi_crop(image, self.VIEWS, u)
        monkeypatch.setattr(crops, "_CACHED", 5 * len(self.VIEWS) * 12 * 3 * 12)  # five images at a time
        assert multi_crop(image, self.VIEWS, u).numpy() == pytest.approx(whole.numpy(), abs=1e-6)
