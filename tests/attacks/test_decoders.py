"""Decoders, their linear path, the exact inverse of affine edges, and the training loop."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from pytorch_msssim import ssim
from skimage.metrics import structural_similarity as reference_ssim
from torch import nn

from splitward.attacks._affine import identify
from splitward.attacks._decoders import Decoder, ScriptDecoder, teach
from splitward.attacks._linear import CrossFitted, GlobalLinear, LocalLinear, centred
from splitward.attacks._reading import canvas, read, stride_of, unflattened
from splitward.attacks._training import (
    PATIENCE,
    Pairs,
    Schedule,
    augment,
    invert,
    picture_loss,
    structural_similarity,
    train,
)
from splitward.core.errors import NotApplicable
from splitward.core.run import Run
from splitward.core.settling import converged
from splitward.core.spec import TensorSpec

SHAPES = [
    ((1, 28, 28), ((16, 8, 8),)),  # LeNet-5 at ReLU2
    ((1, 28, 28), ((8, 24, 24),)),
    ((1, 28, 28), ((84,),)),
    ((3, 32, 32), ((128, 8, 8),)),
    ((3, 32, 32), ((65, 24),)),  # tokens, one of them the class's
    ((3, 32, 32), ((7, 24),)),  # a sequence that is no grid
    ((3, 32, 32), ((8, 8, 24),)),  # channels last
    ((3, 32, 32), ((4, 3, 8, 8),)),
    ((1, 16, 16), ((4, 12, 12), (10,), (8, 6, 6))),  # several
    ((1, 16, 16), ((2, 32, 32),)),  # larger than the image
    ((1, 12, 20), ((4, 6, 10),)),
    ((1, 8, 8), ((),)),
    ((1, 9, 9), ((3, 1, 1),)),
]


def draws(specs, count, k, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(count, k, *shape, generator=generator) for shape in specs)


@pytest.mark.parametrize(("image", "specs"), SHAPES)
@pytest.mark.parametrize("sets", [False, True])
def test_is_sized_from_shapes_alone(image, specs, sets):
    decoder = Decoder(tuple(TensorSpec(s) for s in specs), TensorSpec(image), width=8, sets=sets)
    for k in (1, 3):
        out = decoder(draws(specs, 2, k))
        assert out.shape == (2, *image)
    (decoder(draws(specs, 2, 2)) - 1).square().mean().backward()
    assert decoder.last.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("image", "specs"), SHAPES)
def test_starts_from_the_mean_or_a_linear_picture_which_beats_it(image, specs):
    pixels = torch.rand(40, *image, generator=torch.Generator().manual_seed(1))
    sent = draws(specs, 40, 1)
    sent = tuple(
        s + 3 * pixels.mean((1, 2, 3)).view(-1, 1, *[1] * len(shape)) for s, shape in zip(sent, specs, strict=True)
    )
    decoder = Decoder(tuple(TensorSpec(s) for s in specs), TensorSpec(image), width=8)
    held = tuple(s[:8] for s in sent), pixels[:8]
    decoder.learn_closed_forms(Pairs(tuple(s[8:] for s in sent), pixels[8:], torch.arange(32) % 2), held)
    mean = (held[1] - pixels[8:].mean(0)).square().mean()
    linear = (decoder.linear_picture(decoder.standardise(held[0])).clamp(0, 1) - held[1]).square().mean()
    assert linear <= 1.001 * mean
    start = (invert(decoder, held[0]) - held[1]).square().mean()
    assert torch.allclose(start, linear if decoder.adds else mean, rtol=1e-3)


@pytest.mark.parametrize("sets", [False, True])
def test_the_order_of_observations_says_nothing(sets):
    specs = ((4, 6, 6), (5,))
    decoder = Decoder(tuple(TensorSpec(s) for s in specs), TensorSpec((1, 12, 12)), width=16, sets=sets)
    nn.init.normal_(decoder.last.weight)
    sent = draws(specs, 3, 5)
    turned = tuple(s[:, [3, 1, 4, 0, 2]] for s in sent)
    assert torch.allclose(decoder(sent), decoder(turned), atol=1e-5)
    assert not torch.allclose(decoder(sent), decoder(tuple(s[:, :1] for s in sent)), atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "image", "layout", "stride"),
    [
        ((16, 8, 8), (1, 28, 28), "map", 2),
        ((8, 24, 24), (1, 28, 28), "map", 1),
        ((128, 8, 8), (3, 32, 32), "map", 4),
        ((96, 56, 56), (3, 224, 224), "map", 4),
        ((197, 192), (3, 224, 224), "tokens", 16),
        ((56, 56, 96), (3, 224, 224), "map-last", 4),
        ((120,), (1, 28, 28), "vector", 1),
    ],
)
def test_reads_tensors_from_their_shapes(shape, image, layout, stride):
    reading = read(TensorSpec(shape), TensorSpec(image))
    assert reading.layout == layout
    if reading.channels:
        assert stride_of(reading.grid, TensorSpec(image)) == stride
        assert canvas([reading], TensorSpec(image)) == (stride, (image[1] // stride, image[2] // stride))


def test_tokens_are_the_map_and_the_class_token_is_beside_it():
    reading = read(TensorSpec((17, 5)), TensorSpec((1, 16, 16)))
    tokens = torch.randn(2, 17, 5)
    assert torch.equal(reading.vector(tokens), tokens[:, 0])
    assert torch.equal(reading.map(tokens)[:, :, 1, 2], tokens[:, 1 + 4 + 2])


def test_global_linear_path_is_least_squares():
    generator = torch.Generator().manual_seed(0)
    sent = torch.randn(300, 1, 20, generator=generator)
    truth = torch.rand(20, 36, generator=generator) / 20
    pixels = (sent[:, 0] @ truth + 0.5).view(-1, 1, 6, 6)
    path = GlobalLinear(TensorSpec((1, 6, 6)), 20)
    path.fit(lambda i, j: (sent[:250][i:j],), pixels[:250], ((sent[250:],), pixels[250:]))
    expected = np.linalg.lstsq(np.c_[sent[:250, 0].numpy(), np.ones(250)], pixels[:250].flatten(1).numpy(), rcond=None)[
        0
    ]
    assert np.allclose(path.weight.numpy(), expected[:-1], atol=1e-5)
    assert torch.allclose(path((sent[250:],)), pixels[250:], atol=1e-5)


def test_local_linear_path_undoes_a_local_map():
    """Blocks of 2x2 pixels turned by an orthogonal matrix: the patch of one position is enough to turn them back."""
    pixels = torch.rand(80, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))[0]
    maps = torch.einsum("ij,njhw->nihw", turn, nn.functional.pixel_unshuffle(pixels, 2))[:, None]
    path = LocalLinear(TensorSpec((1, 12, 12)), read(TensorSpec((4, 6, 6)), TensorSpec((1, 12, 12))), 0)
    error = path.fit(lambda i, j: (maps[:60][i:j],), pixels[:60], ((maps[60:],), pixels[60:]))
    assert error < 1e-8


@pytest.mark.parametrize(
    ("layer", "image"),
    [
        (nn.Conv2d(1, 8, 5), (1, 28, 28)),
        (nn.Conv2d(3, 16, 3, padding=1), (3, 16, 16)),
        (nn.Conv2d(3, 40, 4, stride=2, padding=1), (3, 16, 16)),
        (nn.Sequential(nn.Conv2d(1, 24, 4, stride=4), nn.Flatten(2), nn.Unflatten(2, (1, 49))), (1, 28, 28)),
    ],
    ids=["LeNet", "padded", "strided", "patches"],
)
def test_an_affine_edge_is_solved_exactly(layer, image):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (110, *image), generator=generator).float() / 255
    with torch.no_grad():
        sent = layer(2 * pixels - 1)
    if isinstance(layer, nn.Sequential):  # tokens with a position embedding
        sent = sent[:, :, 0].transpose(1, 2) + torch.randn(49, 24, generator=generator)
    run = Run(0, torch.device("cpu"))
    inverse = identify((sent[:64, None],), pixels[:64], ((sent[64:80, None],), pixels[64:80]), run)
    assert inverse is not None
    assert torch.equal(inverse((sent[80:, None],)), pixels[80:])  # every 8-bit pixel
    assert run.trace["exact"]


def test_an_edge_that_is_not_affine_is_left_to_the_decoder():
    pixels = torch.rand(100, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        sent = nn.Conv2d(1, 8, 3)(pixels).relu()[:, None]
    held = (sent[64:80],), pixels[64:80]
    assert identify((sent[:64],), pixels[:64], held, Run(0, torch.device("cpu"))) is None


@pytest.mark.parametrize("channels", [1, 3])
def test_the_losss_ssim_is_that_of_the_references(channels):
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(4, channels, 20, 17, generator=generator)
    guess = (truth + 0.2 * torch.randn(truth.shape, generator=generator)).clamp(0, 1)
    ours = structural_similarity(guess, truth)
    assert torch.allclose(ours, ssim(guess, truth, data_range=1, size_average=False), atol=1e-5)
    theirs = reference_ssim(
        guess[0].numpy(), truth[0].numpy(), data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        channel_axis=0, full=True,
    )[1][:, 5:-5, 5:-5].mean()  # fmt: skip
    assert abs(float(ours[0]) - theirs) < 1e-4


def test_a_guess_beyond_the_range_on_the_right_side_costs_nothing():
    truth = torch.tensor([0.0, 1.0, 0.5]).view(1, 1, 1, 3)
    assert picture_loss(torch.tensor([-2.0, 3.0, 0.5]).view_as(truth), truth, 0.0) == 0
    assert picture_loss(torch.tensor([3.0, -2.0, 0.5]).view_as(truth), truth, 0.0) == 6


def test_augmentation_moves_whole_pixels_and_mirrors_colour_only():
    generator = torch.Generator().manual_seed(0)
    grey = torch.rand(200, 1, 12, 12, generator=generator)
    moved = augment(grey, 0.1, generator)
    inner = {
        tuple(i for i in np.argwhere((np.abs(moved[0, 0, 4:8, 4:8].numpy() - w)).max((2, 3)) == 0)[0])
        for w in [np.lib.stride_tricks.sliding_window_view(grey[0, 0].numpy(), (4, 4))]
    }
    assert len(inner) == 1
    assert all(abs(i - 4) <= 1 for i in next(iter(inner)))
    assert torch.equal(augment(grey, 0.0, generator), grey)
    colour = torch.rand(200, 3, 12, 12, generator=generator)
    mirrored = (augment(colour, 0.0, generator) == colour.flip(3)).flatten(1).all(1)
    assert 60 < int(mirrored.sum()) < 140


def test_centred_pads_and_crops_evenly():
    maps = torch.arange(16.0).view(1, 4, 4)
    assert torch.equal(centred(centred(maps, (7, 8)), (4, 4)), maps)
    assert torch.equal(centred(centred(maps, (3, 3)), (4, 4))[:, :3, :3], maps[:, :3, :3])
    assert torch.equal(centred(maps, (2, 2)), maps[:, 1:3, 1:3])


def test_training_keeps_what_does_best_on_the_hold_out():
    """A loss that leads away from the hold-out's optimum: the start is kept."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 1.0)
    run = Run(0, torch.device("cpu"))
    best = train(
        module, lambda _: (module.weight - 5).square().sum(), lambda: (module.weight - 1).square().item(),
        Schedule(40, 1, 0.1), run, "phase",
    )  # fmt: skip
    assert best == 0
    assert module.weight.item() == 1
    assert run.trace["phase"][0] == (0, 0.0)


@pytest.mark.parametrize(("laps", "halve_every"), [(1, None), (4, None), (4, 40)])
def test_a_training_is_gone_through_again_while_its_loss_still_falls(laps, halve_every):
    """Once does not settle this loss; the papers' schedule knows of one lap whatever it leaves."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 0.0)
    run = Run(0, torch.device("cpu"))

    def loss() -> torch.Tensor:
        return (module.weight - 5).square().sum()

    rate = 0.5 if halve_every is None else 0.1
    schedule = Schedule(40, 1, rate, weight_decay=0.0, average=0.0, laps=laps, halve_every=halve_every)
    best = train(module, lambda _: loss(), lambda: loss().item(), schedule, run, "phase")
    points = run.trace["phase"]
    steps = [step for step, _ in points]
    assert steps == sorted(set(steps))
    assert loss().item() == best == points[-1][1]
    if laps == 1 or halve_every:
        assert (steps[-1], converged(points)) == (40, False)
    else:
        assert 40 < steps[-1] < 160
        assert converged(points)


def test_a_further_lap_is_judged_at_its_end_and_not_by_how_it_begins():
    """Large steps undo what was gained: that the hold-out gains nothing for so long is no sign of having settled."""
    module, run = nn.Linear(1, 1, bias=False), Run(0, torch.device("cpu"))
    first = [1.0 - 0.03 * look for look in range(17)]  # falls to the end
    second = [0.9] * 11 + [0.5, 0.4, 0.3, 0.2, 0.1]
    looks = iter(first + second)
    schedule = Schedule(160, 1, 0.1, laps=2)
    best = train(module, lambda _: module.weight.square().sum(), lambda: next(looks), schedule, run, "phase")
    assert best == 0.1
    assert run.trace["phase"][-1] == (320, 0.1)
    assert not converged(run.trace["phase"])


@pytest.mark.parametrize(("known", "settled"), [(1.5, True), (0.5, False)])
def test_a_training_that_ends_above_a_known_closed_form_has_not_settled(known, settled):
    """Flat at 1 after the start: worth something against a closed form that reached 1.5, nothing against 0.5."""
    module, run = nn.Linear(1, 1, bias=False), Run(0, torch.device("cpu"))
    looks = iter([9.0] + [1.0] * 100)
    schedule = Schedule(160, 1, 0.1, laps=2)
    train(module, lambda _: module.weight.square().sum(), lambda: next(looks), schedule, run, "phase", known)
    assert run.trace["phase"][0] == (0, known)
    assert all(converged(points) for points in run.trace.values()) is settled
    assert (run.trace["phase"][-1][0] > 160) is not settled  # and is gone through again


def test_what_learns_no_more_than_its_linear_picture_says_the_linear_picture():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(80, 1, 12, 12, generator=generator)
    sent = (pixels.flatten(1)[:, None, :20] + torch.randn(80, 1, 20, generator=generator) / 10,)
    pairs = Pairs((sent[0][20:],), pixels[20:], torch.arange(60) % 2)

    class Known:
        def batch(self, count, generator):
            return Pairs(*(x[:count] if not isinstance(x, tuple) else tuple(a[:count] for a in x) for x in pairs))

        def held(self):
            return (sent[0][:20],), pixels[:20]

    decoder, run = Decoder((TensorSpec((20,)),), TensorSpec((1, 12, 12)), width=8), Run(0, torch.device("cpu"))
    compare = nn.functional.mse_loss
    teach(decoder, Known(), lambda: pairs, Schedule(1, 8, 1e-9), compare, run)
    values = decoder.standardise(Known().held()[0])
    linear = compare(decoder.linear_picture(values).clamp(0, 1), pixels[:20])
    assert decoder.alone
    assert torch.allclose(compare(invert(decoder, Known().held()[0]), pixels[:20]), linear)
    assert linear < compare(decoder.picture.expand(20, -1, -1, -1), pixels[:20])


def test_halves_see_the_other_halfs_linear_path():
    """Pairs of the first half are answered by the path that was fitted to the second, and the other way round."""
    generator = torch.Generator().manual_seed(0)
    pixels, sent = torch.rand(40, 1, 12, 12, generator=generator), (torch.randn(40, 1, 30, generator=generator),)
    half = torch.arange(40) % 2
    path = CrossFitted(lambda: GlobalLinear(TensorSpec((1, 12, 12)), 30))
    path.fit(lambda which: (sent[0][which],), pixels, half, ((sent[0][:8],), pixels[:8]))
    answered = path(sent, half)
    assert torch.equal(answered[half == 0], path.second(sent)[half == 0])
    assert torch.equal(answered[half == 1], path.first(sent)[half == 1])
    assert torch.allclose(path(sent), (path.first(sent) + path.second(sent)) / 2)
    alone = GlobalLinear(TensorSpec((1, 12, 12)), 30)
    alone.fit(lambda i, j: (sent[0][half == 0][i:j],), pixels[half == 0], ((sent[0][:8],), pixels[:8]))
    assert torch.allclose(alone(sent), path.first(sent), atol=1e-4)


def test_a_training_that_large_steps_have_stalled_goes_on_with_smaller_ones():
    """Batches so noisy that the weights wander at the full rate and get no nearer to what is right."""
    module, run = nn.Linear(64, 1, bias=False), Run(0, torch.device("cpu"))
    nn.init.constant_(module.weight, 8.0)
    visited = []

    def loss(generator):
        visited.append(module.weight.detach().clone())
        return (module.weight - 4 * torch.randn(1, 64, generator=generator)).square().mean()

    schedule = Schedule(800, 1, 0.5, weight_decay=0.0, average=0.0)
    best = train(module, loss, lambda: module.weight.square().mean().item(), schedule, run, "phase")
    points = run.trace["phase"]
    assert best == points[-1][1] == module.weight.square().mean().item()
    stalled, plateau = next(now for now, past in zip(points[PATIENCE:], points, strict=False) if now[1] == past[1])
    moves = [float((after - before).abs().max()) for before, after in pairwise(visited)]
    assert stalled < 500
    assert torch.equal(visited[stalled], visited[stalled - 50 * PATIENCE])  # on from the best weights
    assert max(moves[stalled:]) < 0.2 * max(moves[: stalled - 1])
    assert best < 0.3 * plateau
    assert len(visited) <= 800


def test_a_training_that_gains_nothing_with_small_steps_either_ends():
    """What the hold-out says does not depend on the weights."""
    module, run = nn.Linear(1, 1), Run(0, torch.device("cpu"))
    train(module, lambda _: module.weight.square().sum(), lambda: 1.0, Schedule(800, 1, 0.1), run, "phase")
    assert run.trace["phase"][-1][0] == 2 * PATIENCE * 50 + 50


def test_the_schedules_rates():
    ours, papers = Schedule(100, 1, 1.0), Schedule(100, 1, 1.0, halve_every=20)
    assert max(ours.rate(s) for s in range(100)) == pytest.approx(1.0, abs=0.01)
    assert ours.rate(99) < 0.01
    assert [papers.rate(s) for s in (0, 19, 20, 99)] == [1.0, 1.0, 0.5, 0.0625]


@pytest.mark.parametrize(
    ("image", "shape", "parameters"),
    [
        ((1, 28, 28), (8, 24, 24), 8 * 25 + 1),
        ((1, 28, 28), (16, 8, 8), 16 * 8 * 25 + 8 + 8 * 25 + 1),
        ((3, 32, 32), (64, 32, 32), 64 * 3 * 9 + 3),
        ((3, 32, 32), (128, 16, 16), 128 * 64 * 9 + 64 + 64 * 3 * 9 + 3),
        ((3, 32, 32), (128, 8, 8), 128 * 128 * 9 + 128 + 128 * 64 * 9 + 64 + 64 * 3 * 9 + 3),
    ],
)
def test_the_scripts_decoders_are_those_of_the_release(image, shape, parameters):
    decoder = ScriptDecoder((TensorSpec(shape),), TensorSpec(image))
    assert sum(p.numel() for p in decoder.parameters()) == parameters
    out = decoder.layers(torch.zeros(1, *shape))
    assert out.shape[1:] == image
    with pytest.raises(NotApplicable, match="one feature map"):
        ScriptDecoder((TensorSpec((10,)),), TensorSpec(image))


def test_a_flattened_map_is_read_as_the_map():
    """Two blurred views of an image, flattened; and a dense layer's mixture of all pixels, which is no map."""
    generator = torch.Generator().manual_seed(0)
    image, pixels = TensorSpec((1, 12, 12)), torch.rand(300, 1, 12, 12, generator=generator)
    maps = nn.functional.avg_pool2d(pixels, 2) @ torch.rand(6, 6, generator=generator).div(20).add(torch.eye(6))
    maps = torch.cat([maps, 1 - maps.sqrt(), torch.rand(300, 1, 6, 6, generator=generator)], 1)
    flat = maps.flatten(1)[:, None]
    assert unflattened((TensorSpec((108,)),), image, (flat,), pixels) == (TensorSpec((3, 6, 6)),)
    dense = (flat @ torch.randn(108, 108, generator=generator)).relu()
    assert unflattened((TensorSpec((108,)),), image, (dense,), pixels) == (TensorSpec((108,)),)
    assert unflattened((TensorSpec((3, 6, 6)),), image, (maps[:, None],), pixels) == (TensorSpec((3, 6, 6)),)
    assert unflattened((TensorSpec((7,)),), image, (flat[..., :7],), pixels) == (TensorSpec((7,)),)


def test_a_decoder_reshapes_what_was_flattened():
    decoder = Decoder((TensorSpec((3, 6, 6)),), TensorSpec((1, 12, 12)), width=8)
    nn.init.normal_(decoder.last.weight)
    maps = torch.randn(5, 2, 3, 6, 6)
    assert torch.equal(decoder((maps,)), decoder((maps.flatten(2),)))
