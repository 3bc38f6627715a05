"""Colours of views against torchvision's, in every order, and what is not chosen is left as it is."""

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from training import colours
from training.colours import ORDERS, blur, blur_matrix, grey, jitter, turn_hue


def pictures(n=6, side=16, seed=0):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def by_torchvision(image, order, amounts):
    """The four changes one after the other."""
    brightness, contrast, saturation, hue = amounts.tolist()
    functions = (
        lambda x: reference.adjust_brightness(x, 1 + brightness),
        lambda x: reference.adjust_contrast(x, 1 + contrast),
        lambda x: reference.adjust_saturation(x, 1 + saturation),
        lambda x: reference.adjust_hue(x, hue),
    )
    for change in ORDERS[order]:
        image = functions[change](image)
    return image


class TestJitter:
    @pytest.mark.parametrize("strength", [(0.4, 0.4, 0.2, 0.1), (1, 1, 1, 0.5)])
    def test_is_torchvision_s_in_each_of_the_24_orders(self, strength):
        image, order = pictures(72), torch.arange(72) % 24
        amounts = (2 * torch.rand(72, 4, generator=torch.Generator().manual_seed(1)) - 1) * torch.tensor(strength)
        ours = image.clone()
        jitter(ours, torch.ones(72, dtype=torch.bool), order, amounts)
        for i in range(72):
            expected = by_torchvision(image[i], int(order[i]), amounts[i])
            assert ours[i].numpy() == pytest.approx(expected.numpy(), abs=2e-5), ORDERS[order[i]]

    def test_the_order_matters_and_is_clamped_between(self):
        """Bright first: what is cut off at white does not come back."""
        image = torch.full((24, 3, 2, 2), 0.9)
        image[:, 1] = 0.2
        jitter(image, torch.ones(24, dtype=torch.bool), torch.arange(24), torch.tensor([[0.4, -0.4, -0.2, 0.3]] * 24))
        assert len(torch.unique((1e4 * image).round().flatten(1), dim=0)) > 6

    def test_as_on_a_gpu_where_all_rows_are_computed(self, monkeypatch):
        chosen, order = torch.arange(48) % 3 > 0, torch.arange(48) % 24
        amounts = 2 * torch.rand(48, 4, generator=torch.Generator().manual_seed(2)) - 1
        found = []
        for rows in (colours.chosen_rows, lambda chosen: slice(None)):
            monkeypatch.setattr(colours, "chosen_rows", rows)
            image = pictures(48)
            jitter(image, chosen, order, amounts / 2)
            grey(image, order == 5)
            blur(image, order < 9, torch.linspace(0.1, 2, 48))
            found.append(image)
        assert found[1].numpy() == pytest.approx(found[0].numpy(), abs=2e-6)

    def test_leaves_the_others_as_they_are(self):
        image, chosen = pictures(9), torch.arange(9) < 4
        ours = image.clone()
        jitter(ours, chosen, torch.arange(9), torch.full((9, 4), 0.3))
        grey(ours, chosen)
        blur(ours, chosen, torch.full((9,), 1.0))
        assert torch.equal(ours[4:], image[4:])
        assert not torch.equal(ours[:4], image[:4])

    def test_pixels_are_distributed_as_those_of_torchvision(self):
        """The same two pixels under both jitters, channel by channel."""
        n, strength = 1500, (0.6, 0.6, 0.8, 0.3)
        image = torch.tensor([[0.9, 0.5], [0.3, 0.6], [0.1, 0.7]])[:, None]
        generator = torch.Generator().manual_seed(0)
        ours, order = image.repeat(n, 1, 1, 1), torch.randint(24, (n,), generator=generator)
        amounts = (2 * torch.rand(n, 4, generator=generator) - 1) * torch.tensor(strength)
        jitter(ours, torch.ones(n, dtype=torch.bool), order, amounts)
        torch.manual_seed(0)
        change = v2.ColorJitter(*strength)
        theirs = torch.stack([change(image) for _ in range(n)])
        for one, two in zip(ours.flatten(1).T, theirs.flatten(1).T, strict=True):
            assert stats.ks_2samp(one.numpy().round(4), two.numpy().round(4)).pvalue > 1e-4  # 1 but for rounding


class TestHue:
    def test_is_torchvision_s(self):
        special = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 0, 0], [1, 1, 0], [0, 0.5, 0.5], [0.2, 0.2, 0.7]])
        image = torch.cat([pictures(4, 8).permute(0, 2, 3, 1).reshape(-1, 3), special]).T[None, :, None]
        for turn in (-0.5, -0.3, 0.0, 0.1, 1 / 3, 0.5):
            ours = turn_hue(image, torch.tensor([turn]))
            assert ours.numpy() == pytest.approx(reference.adjust_hue(image, turn).numpy(), abs=2e-5), turn

    def test_a_third_of_a_turn_makes_red_green(self):
        red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        assert turn_hue(red, torch.tensor([1 / 3])).flatten().tolist() == pytest.approx([0, 1, 0], abs=1e-6)


class TestGrey:
    def test_is_torchvision_s(self):
        image = pictures(3)
        ours = image.clone()
        grey(ours, torch.ones(3, dtype=torch.bool))
        assert ours.numpy() == pytest.approx(reference.rgb_to_grayscale(image, 3).numpy(), abs=1e-6)


class TestBlur:
    def test_sigma_zero_is_no_blur(self):
        assert torch.equal(blur_matrix(9, torch.zeros(1))[0], torch.eye(9))

    def test_is_torchvision_s_away_from_the_border(self):
        image = pictures(1, 32)
        ours = image.clone()
        blur(ours, torch.ones(1, dtype=torch.bool), torch.tensor([1.2]))
        expected = reference.gaussian_blur(image, 13, 1.2)
        assert ours[..., 8:-8, 8:-8].numpy() == pytest.approx(expected[..., 8:-8, 8:-8].numpy(), abs=1e-4)

    def test_products_meet_no_number_that_slows_them(self):
        """Products with subnormal numbers take many times as long: weights are zero or well above them."""
        matrix = blur_matrix(32, torch.linspace(0, 2, 200))
        assert matrix[matrix > 0].min() > 1e-20
        assert np.allclose(matrix.sum(2), 1)
