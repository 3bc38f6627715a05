"""Crops: Pillow and torchvision as oracles, an independent draw for each image, the same draw for the same key."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision.transforms.v2 import functional as reference

from training import crops
from training.crops import (
    Draws,
    View,
    augment,
    blur_matrix,
    colour_matrices,
    crop_matrices,
    multi_crop,
    recolour,
    resize_matrix,
    uniforms,
)

PLAIN = View(size=16, scale=(1, 1), ratio=1, flip=0, jitter_p=0, grey_p=0)
FULL = View(size=12, scale=(0.2, 1), blur_p=0.5, solarise_p=0.5)


def pictures(n=6, side=16, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, 3, side, side), dtype=np.uint8))


def draws(n, view=0, seed=0, epoch=0):
    return uniforms(seed, epoch, torch.arange(n), view)


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


class TestResize:
    @pytest.mark.parametrize(("start", "length", "size"), [(0, 32, 8), (3.3, 20.1, 16), (7, 9.5, 24), (0, 32, 32)])
    def test_is_pillow_s_antialiased_resize_of_a_box(self, start, length, size):
        line = np.random.default_rng(0).random((32, 32)).astype(np.float32)
        box = (start, start, start + length, start + length)
        expected = np.asarray(Image.fromarray(line).resize((size, size), Image.Resampling.BILINEAR, box=box))
        matrix = resize_matrix(32, size, torch.tensor([start]), torch.tensor([length]))[0]
        assert (matrix @ torch.from_numpy(line) @ matrix.T).numpy() == pytest.approx(expected, abs=2e-6)

    def test_antialias_keeps_the_mean_of_a_fine_pattern(self):
        stripes = torch.tensor([0.0, 1.0]).repeat(32)
        small = resize_matrix(64, 8, torch.tensor([0.0]), torch.tensor([64.0]))[0] @ stripes
        assert small.numpy() == pytest.approx(np.full(8, 0.5), abs=0.04)

    def test_weights_sum_to_one(self):
        matrix = resize_matrix(20, 7, torch.tensor([0.0, 11.0]), torch.tensor([3.0, 9.0]))
        assert matrix.sum(2).numpy() == pytest.approx(np.ones((2, 7)), abs=1e-6)

    def test_a_negative_length_is_a_mirror(self):
        start, length = torch.tensor([2.3, 0.0]), torch.tensor([11.0, 19.5])
        forwards = resize_matrix(20, 7, start, length)
        assert resize_matrix(20, 7, start + length, -length).numpy() == pytest.approx(
            forwards.flip(1).numpy(), abs=1e-6
        )

    def test_a_bound_on_the_lengths_changes_nothing(self):
        start, length = torch.tensor([0.0, 30.2]), torch.tensor([9.7, 25.0])
        assert torch.equal(resize_matrix(64, 8, start, length, longest=25), resize_matrix(64, 8, start, length))


class TestBlur:
    def test_sigma_zero_is_no_blur(self):
        assert torch.equal(blur_matrix(9, torch.zeros(1))[0], torch.eye(9))

    def test_is_torchvision_s_away_from_the_border(self):
        image = pictures(1, 32).float() / 255
        matrix = blur_matrix(32, torch.tensor([1.2]))
        expected = reference.gaussian_blur(image, 13, 1.2)
        ours = matrix @ image @ matrix.mT
        assert ours[..., 8:-8, 8:-8].numpy() == pytest.approx(expected[..., 8:-8, 8:-8].numpy(), abs=1e-4)


class TestColour:
    def one(self, change, amount, image, **strength):
        """A jitter of one kind alone, by an exact amount."""
        u = torch.full((len(image), 16), 0.5)
        u[:, Draws._fields.index(change)] = (amount + 1) / 2
        view = View(size=16, scale=(1, 1), jitter=tuple(strength.get(k, 0) for k in "bcsh"), jitter_p=1, grey_p=0)
        return recolour(image, colour_matrices(image.mean((2, 3))[:, None], [view], u[:, None])[:, 0])

    def test_brightness_contrast_and_saturation_are_torchvision_s(self):
        image = pictures(3).float() / 255 * 0.4 + 0.3  # far from 0 and 1, so that nothing is clipped
        for change, key, function in (
            ("brightness", "b", reference.adjust_brightness),
            ("contrast", "c", reference.adjust_contrast),
            ("saturation", "s", reference.adjust_saturation),
        ):
            for amount in (-1, 0.5):
                expected = function(image, 1 + amount * 0.4)
                ours = self.one(change, amount, image, **{key: 0.4})
                assert ours.numpy() == pytest.approx(expected.numpy(), abs=2e-3), key

    def test_a_third_of_a_turn_of_hue_makes_red_green_or_blue(self):
        red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        turned = [self.one("hue", sign, red, h=1 / 3).flatten().argmax().item() for sign in (-1, 1)]
        assert sorted(turned) == [1, 2]

    def test_hue_keeps_luma_and_grey(self):
        image = pictures(2).float() / 255
        luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        turned = self.one("hue", 1, image, h=0.4)
        assert (turned * luma).sum(1).numpy() == pytest.approx((image * luma).sum(1).numpy(), abs=1e-5)

    def test_grey(self):
        image = pictures(2)
        view = View(size=16, scale=(1, 1), ratio=1, flip=0, jitter_p=0, grey_p=1)
        out = augment(image, view, draws(2))
        assert out[:, 0].numpy() == pytest.approx(out[:, 1].numpy(), abs=1e-6)
        assert out.numpy() == pytest.approx(reference.rgb_to_grayscale(image.float() / 255, 3).numpy(), abs=2e-3)


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

    def test_shares_of_area_and_place_of_crops(self):
        view = View(size=4, scale=(0.1, 0.5), flip=0.5)
        rows, columns = (matrix[:, 0] for matrix in crop_matrices(64, [view], draws(4000)[:, None]))
        place = torch.arange(64.0) + 0.5

        def spread(matrix):  # distance of the outermost output pixels, scaled to the length of the crop
            centres = matrix @ place
            return (centres[:, -1] - centres[:, 0]) * 4 / 3

        height, width = spread(rows), spread(columns)
        area = (height * width).abs() / 64**2
        assert area.min() > 0.09
        assert area.max() < 0.52
        assert area.mean().item() == pytest.approx(0.3, abs=0.01)
        ratio = (width / height).abs()
        assert ratio.min() > 0.73
        assert ratio.max() < 1.37
        assert (width < 0).float().mean().item() == pytest.approx(0.5, abs=0.03)  # flipped
        centre = (rows @ place).mean(1)
        assert centre.mean().item() == pytest.approx(32, abs=0.7)
        assert centre.std() > 5

    def test_a_crop_is_pillow_s_of_the_box_drawn(self):
        view = View(size=10, scale=(0.1, 0.9), jitter_p=0, grey_p=0)
        u, line = draws(30), np.random.default_rng(0).random((32, 32)).astype(np.float32)
        out = augment(torch.from_numpy(line).expand(30, 3, 32, 32), view, u)
        for (share, stretch, y, x, flip), made in zip(u[:, :5].double().tolist(), out[:, 0], strict=True):
            root = (4 / 3) ** (stretch - 0.5)
            height, width = (min(32, 32 * (0.1 + 0.8 * share) ** 0.5 * r) for r in (1 / root, root))
            top, left = y * (32 - height), x * (32 - width)
            box = (left, top, left + width, top + height)
            pillow = np.asarray(Image.fromarray(line).resize((10, 10), Image.Resampling.BILINEAR, box=box))
            assert made.numpy() == pytest.approx(pillow[:, ::-1] if flip < 0.5 else pillow, abs=2e-5)


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
        image, u = pictures(7), uniforms(0, 0, torch.arange(7), self.KEYS)
        whole = multi_crop(image, self.VIEWS, u)
        monkeypatch.setattr(crops, "_CACHED", 3 * len(self.VIEWS) * 12 * 3 * 16)  # three images at a time
        assert multi_crop(image, self.VIEWS, u).numpy() == pytest.approx(whole.numpy(), abs=1e-6)

    def test_bf16_products_are_as_good_as_rounded_pixels(self):
        image, u = pictures(32, 48), uniforms(0, 0, torch.arange(32), self.KEYS)
        views = [dataclasses.replace(view, size=24, jitter_p=0, solarise_p=0) for view in self.VIEWS]
        exact = multi_crop(image, views, u)
        error = 255 * (multi_crop(image, views, u, precision=torch.bfloat16) - exact)
        assert 0 < error.abs().mean() < 0.5
        assert error.abs().max() < 4
        assert abs(error.mean()) < 0.05

    def test_products_meet_no_number_that_slows_them(self):
        """Products with subnormal numbers take many times as long: weights are zero or well above them."""
        view = View(size=32, scale=(0.1, 1), blur_p=1, blur_sigma=(0.05, 2))
        for matrix in (blur_matrix(32, torch.linspace(0, 2, 200)), *crop_matrices(64, [view], draws(300)[:, None])):
            assert matrix[matrix > 0].min() > 1e-20
