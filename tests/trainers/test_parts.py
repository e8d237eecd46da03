"""Networks, augmentation, schedules, quantization, pruning, LoRA, attention: each against a plain computation."""

import copy
import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from hwsim.errors import HwsimError  # noqa: E402
from hwsim.trainers import batches, llama, optimizers  # noqa: E402
from hwsim.trainers.attention import Attention, Transformer, matrix_products  # noqa: E402
from hwsim.trainers.data import Images  # noqa: E402
from hwsim.trainers.network import build, fuse, parameter_count  # noqa: E402
from hwsim.trainers.prune import Pruner, shrink, sparsity  # noqa: E402
from hwsim.trainers.quantize import dequantize, quantize  # noqa: E402
from hwsim.trainers.recipe import Augment, Distillation, Finish, Muon, Training, load_recipe, shipped  # noqa: E402
from hwsim.trainers.studies.depthwise import DepthwiseSeparable, Grouped  # noqa: E402
from hwsim.trainers.studies.lora import LoraLinear  # noqa: E402

CHAIN = ["conv 8", "pool 2", "conv 12 s2", "conv 10", "gap", "linear 5"]


def randomized(network: nn.Module) -> nn.Module:
    """Give the normalisations statistics as after training."""
    torch.manual_seed(3)
    for m in network.modules():
        if isinstance(m, nn.BatchNorm2d):
            for tensor in (m.weight.data, m.bias.data, m.running_mean):
                tensor.normal_(0.5, 0.3)
            m.running_var.uniform_(0.5, 2)
    return network.eval()


def test_parameter_count_by_hand() -> None:
    # conv 3→8 3×3 and its normalisation (2 trained, 2 running per channel), depthwise 3×3, pointwise 8→16, linear
    network = build(["conv 8", "separable 16", "gap", "linear 10"], (3, 8, 8))
    expected = (3 * 8 * 9 + 4 * 8) + (8 * 9 + 4 * 8) + (8 * 16 + 4 * 16) + (16 * 10 + 10)
    assert parameter_count(network) == expected


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (["cnv 8"], "Did you mean 'conv'"), (["conv"], "output channels"), (["conv 8 z3"], "such as"),
        (["conv 8 9"], "such as"), (["linear 10"], "does not fit|fit"), (["conv 8 g3"], "no valid layer"),
        (["conv 99999"], "output channels"), (["conv 8"] * 300, "at most"),
    ],
)  # fmt: skip
def test_wrong_layers_are_named(layers: list[str], said: str) -> None:
    with pytest.raises(HwsimError, match=said):
        build(layers, (4, 8, 8))


def test_fusing_changes_nothing() -> None:
    network = randomized(
        build(["conv 8", "residual 8", "inverted 12 e2 s2", "separable 6", "gap", "linear 3"], (3, 16, 16))
    )
    x = torch.randn(2, 3, 16, 16)
    fused = fuse(copy.deepcopy(network))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    assert torch.allclose(fused(x), network(x), atol=1e-5)


def test_augmented_batches_are_windows_of_the_padded_image() -> None:
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (6, 5, 7, 2), dtype=np.uint8), np.arange(6))
    task = batches.Task(images, images, (0.0, 0.0), (1.0, 1.0))
    feeder = batches.Feeder(images, task, Augment(crop=2, flip=True))
    x, view = feeder.batch(torch.arange(6), torch.Generator().manual_seed(1))
    flipped = view.flipped
    assert torch.equal(feeder.targets(torch.arange(6), view, 6), torch.eye(6)) and 0 < int(flipped.sum()) < 6
    for k in range(6):
        padded = np.pad(images.pixels[k], ((2, 2), (2, 2), (0, 0)), mode="reflect")
        seen = (x[k].permute(1, 2, 0).numpy() * 255).round().astype(int)
        seen = seen[:, ::-1] if flipped[k] else seen
        windows = (padded[i : i + 5, j : j + 7] for i, j in itertools.product(range(5), range(5)))
        assert any((seen == w).all() for w in windows)
    plain, none = feeder.batch(torch.arange(6), None)
    assert not none.flipped.any()
    assert (plain.permute(0, 2, 3, 1).mul(255).round().numpy() == images.pixels).all()


def test_a_view_of_all_images_gives_the_same_batch_in_any_order() -> None:
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (6, 5, 7, 2), dtype=np.uint8), np.arange(6))
    feeder = batches.Feeder(images, batches.Task(images, images, (0.0, 0.0), (1.0, 1.0)), Augment(crop=2, flip=True))
    view = feeder.view(6, torch.Generator().manual_seed(3))
    whole = feeder.seen(torch.arange(6), view)
    index = torch.tensor([4, 0, 5])
    x, _ = feeder.batch(index, torch.Generator().manual_seed(8), view.at(index))
    assert torch.allclose(x.permute(0, 2, 3, 1) * 255, whole[index])
    assert not torch.equal(whole, feeder.seen(torch.arange(6), feeder.view(6, None)))


def test_cutout_hides_one_square() -> None:
    images = Images(np.full((4, 12, 12, 1), 255, np.uint8), np.zeros(4, np.int64))
    feeder = batches.Feeder(images, batches.Task(images, images, (0.0,), (1.0,)), Augment(cutout=4))
    x, _ = feeder.batch(torch.arange(4), torch.Generator().manual_seed(0))
    for image in x[:, 0]:
        rows, columns = (image == 0).any(1).sum(), (image == 0).any(0).sum()
        assert 1 <= rows <= 4 and 1 <= columns <= 4
        assert int((image == 0).sum()) == rows * columns


def test_a_mixed_image_counts_for_what_it_shows() -> None:
    # image k is of one colour, k + 1, so that every pixel tells which image it comes from; the last has no label
    pixels = np.repeat(np.arange(1, 7, dtype=np.uint8), 8 * 10).reshape(6, 8, 10, 1)
    labels = np.array([0, 1, 2, 0, 1, -1])
    images = Images(pixels, labels)
    feeder = batches.Feeder(images, batches.Task(images, images, (0.0,), (1.0,)), Augment(crop=2, flip=True, mix=0.5))
    index = torch.arange(6).repeat(500)
    view = feeder.view(len(index), torch.Generator().manual_seed(0))
    seen = feeder.seen(index, view)[..., 0].long() - 1
    assert view.other is not None
    assert ((seen == index[:, None, None]) | (seen == view.other[:, None, None])).all()
    expected = torch.stack([(torch.from_numpy(labels)[seen] == c).float().mean((1, 2)) for c in range(3)], 1)
    assert torch.allclose(feeder.targets(index, view, 3), expected, atol=1e-6)
    whole = (seen == index[:, None, None]).all(1).all(1).float().mean()  # half, and some mixed with themselves
    assert 0.5 < float(whole) < 0.65
    # the box is one rectangle, its area before it is cut off uniform
    for k in torch.nonzero((seen != index[:, None, None]).any(1).any(1))[:200, 0].tolist():
        other = seen[k] != index[k]
        assert int(other.sum()) == int(other.any(1).sum()) * int(other.any(0).sum())
    # a part of a set sees what the whole sees, and another seed something else
    some = torch.tensor([7, 3, 2999])
    assert torch.equal(feeder.seen(index[some], view.at(some))[..., 0].long() - 1, seen[some])
    assert not torch.equal(feeder.view(len(index), torch.Generator().manual_seed(1)).box, view.box)


def test_cross_entropy_of_mixed_unlabelled_and_smoothed_targets() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.5, 0.1, -1.0]])
    ours = optimizers.loss_of(logits, torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]), 0.2, None, None)
    assert torch.allclose(ours, nn.functional.cross_entropy(logits, torch.tensor([0, 1]), label_smoothing=0.2))
    ours = optimizers.loss_of(logits, torch.tensor([[0.75, 0.25, 0], [0, 0, 0]]), 0.0, None, None)
    log_p = logits[0].log_softmax(0)
    assert torch.allclose(ours, -(0.75 * log_p[0] + 0.25 * log_p[1]))
    assert float(optimizers.loss_of(logits, torch.zeros(2, 3), 0.1, None, None)) == 0


def test_schedules() -> None:
    one = Training(epochs=10, learning_rate=1.0, warmup=0.2)
    rates = [optimizers.learning_rate(one, k, 10) for k in range(100)]
    assert max(rates) == 1.0 and rates.index(1.0) == 19
    assert rates[0] == pytest.approx(1 / 20) and rates[-1] == pytest.approx(1 / 80)
    multi = Training(epochs=4, learning_rate=1.0, schedule="multistep", milestones=(1, 3))
    assert [optimizers.learning_rate(multi, 5 * e, 5) for e in range(4)] == pytest.approx([1, 0.1, 0.1, 0.01])
    cosine = Training(epochs=2, learning_rate=1.0, schedule="cosine")
    assert [optimizers.learning_rate(cosine, k, 2) for k in (0, 2)] == pytest.approx([1, 0.5])
    two = Training(epochs=2, learning_rate=1.0, warmup=0.5, finish=Finish(epochs=1, learning_rate=0.1))
    assert two.all_epochs == 3
    first, second = optimizers.learning_rate(two, 19, 10), [optimizers.learning_rate(two, k, 10) for k in range(20, 30)]
    assert first == pytest.approx(0.1) and second[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert second[5:] == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02])


def test_muon_takes_orthogonal_steps_on_dense_convolutions_and_sgd_the_rest() -> None:
    torch.manual_seed(0)
    network = build(["conv 8", "separable 16", "gap", "linear 5"], (3, 8, 8))
    settings = Training(epochs=1, learning_rate=0.1, weight_decay=0, muon=Muon(learning_rate=0.02, weight_decay=0))
    both = optimizers.Optimizers(network, settings)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    network(torch.randn(16, 3, 8, 8)).square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in network.named_parameters()}
    both.step(0.05)  # half the peak
    moved = {name: before[name] - p.detach() for name, p in network.named_parameters()}
    dense = {n for n, p in before.items() if p.ndim == 4 and p.shape[1] > 1}
    assert len(dense) == 2 and all(p.grad is None for p in network.parameters())
    for name, step in moved.items():
        if name in dense:  # U Vᵀ of the gradient U S Vᵀ, nearly: the iteration leaves singular values about 1
            rows, columns = step.flatten(1).shape
            sizes = torch.linalg.svdvals(step.flatten(1)) / (0.5 * 0.02 * max(1, rows / columns) ** 0.5)
            assert sizes.min() > 0.3 and sizes.max() < 1.3, (name, sizes)
            assert (step * gradients[name]).sum() > 0
        else:  # the first step with Nesterov momentum 0.9: 1.9 gradients
            assert torch.allclose(step, 0.05 * 1.9 * gradients[name], atol=1e-6), name


def test_an_activation_stands_wherever_relu_did() -> None:
    layers = ["conv 8", "residual 8", "inverted 8 e2", "separable 6", "gap", "linear 3"]
    kinds = [type(m) for m in build(layers, (3, 16, 16), activation="silu").modules()]
    relus = [type(m) for m in build(layers, (3, 16, 16)).modules()].count(nn.ReLU)
    assert kinds.count(nn.SiLU) == relus == 7 and nn.ReLU not in kinds
    # one layer by hand: x · sigmoid(x)
    one = randomized(build(["conv 4"], (3, 8, 8), activation="silu"))
    x = torch.randn(2, 3, 8, 8)
    y = one[0][1](one[0][0](x))
    assert torch.allclose(one(x), y * torch.sigmoid(y), atol=1e-6)


def test_distillation_loss_by_hand() -> None:
    logits, teacher = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    labels, t, alpha = torch.tensor([[1.0, 0.0]]), 2.0, 0.75
    p = [np.exp(v / t) / (np.exp(0 / t) + np.exp(1 / t)) for v in (0.0, 1.0)]
    q = [np.exp(v / t) / (np.exp(2 / t) + np.exp(0 / t)) for v in (2.0, 0.0)]
    far = sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))
    hard = -np.log(np.exp(2) / (np.exp(2) + 1))
    loss = optimizers.loss_of(logits, labels, 0.0, teacher, Distillation(teacher="x", temperature=t, alpha=alpha))
    assert float(loss) == pytest.approx(alpha * t * t * far + (1 - alpha) * hard, rel=1e-5)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_quantization_error_is_within_half_a_step(bits: int) -> None:
    values = np.random.default_rng(bits).normal(0.3, 2, (40, 30)).astype(np.float32)
    q = quantize(values, bits)
    assert q.codes.dtype == np.uint8 and q.codes.max() <= 2**bits - 1
    # the zero point is a whole number, so that the range shifts by up to half a step: one step at most at its ends
    assert np.abs(dequantize(q) - values).max() <= q.scale * 1.0001
    inside = (q.codes > 0) & (q.codes < 2**bits - 1)
    assert np.abs(dequantize(q) - values)[inside].max(initial=0) <= q.scale / 2 * 1.0001
    assert q.bytes == (1200 * bits + 7) // 8 + 5
    assert dequantize(quantize(np.zeros(3, np.float32), bits)).tolist() == [0, 0, 0]


def test_nearest_goes_to_even_and_stochastic_is_right_on_average() -> None:
    values = np.array([0, 0.5, 1.5, 2.5, 3], np.float32)  # scale is 1 at two bits
    assert quantize(values, 2).codes.tolist() == [0, 0, 2, 2, 3]
    many = np.concatenate([np.full(40_000, 1.3), [0, 3]]).astype(np.float32)
    q = quantize(many, 2, "stochastic", np.random.default_rng(0))
    assert set(q.codes[:-2].tolist()) == {1, 2}
    assert dequantize(q)[:-2].mean() == pytest.approx(1.3, abs=0.01)
    with pytest.raises(HwsimError, match="generator"):
        quantize(many, 2, "stochastic")
    with pytest.raises(HwsimError, match="bits"):
        quantize(many, 9)
    with pytest.raises(HwsimError, match="finite"):
        quantize(np.array([np.nan], np.float32))


@pytest.mark.parametrize("structured", [True, False])
def test_pruning_keeps_the_largest_and_holds_zeros(structured: bool) -> None:
    torch.manual_seed(0)
    network = build(CHAIN, (3, 8, 8))
    before = network[0][0].weight.detach().clone()
    pruner = Pruner(structured, {0: 0.25, 2: 0.5})
    pruner.before_epoch(0, network)
    weight = network[0][0].weight.detach()
    size = before.abs().sum((1, 2, 3)) if structured else before.abs().flatten()
    gone = (weight.abs().sum((1, 2, 3)) == 0) if structured else (weight.flatten() == 0)
    assert int(gone.sum()) == len(size) // 4
    assert size[gone].max() <= size[~gone].min()
    with torch.no_grad():
        network[0][0].weight.add_(1.0)
    pruner.after_step(0, network)
    assert ((network[0][0].weight == 0) == (weight == 0)).all()
    resumed = Pruner(structured, {0: 0.25, 2: 0.5})
    resumed.before_epoch(1, network)
    # filters go whole: 2 of 8, 3 of 12, 2 of 10, with 27, 72 and 108 weights each
    expected = (2 * 27 + 3 * 72 + 2 * 108) / (216 + 864 + 1080) if structured else 0.25
    assert sparsity(network) == pytest.approx(expected)
    assert resumed.masks
    pruner.before_epoch(2, network)
    assert sparsity(network) == pytest.approx(0.5)


def test_shrinking_computes_the_same_with_fewer_filters() -> None:
    network = randomized(build(CHAIN, (3, 8, 8)))
    Pruner(True, {0: 0.5}).before_epoch(0, network)
    small = shrink(network)
    x = torch.randn(4, 3, 8, 8)
    assert torch.allclose(small(x), network(x), atol=1e-5)
    assert [c.out_channels for c in small.modules() if isinstance(c, nn.Conv2d)] == [4, 6, 5]


def test_depthwise_without_groups_equals_groups() -> None:
    torch.manual_seed(0)
    own = DepthwiseSeparable(6, 9, 5)
    x = torch.randn(2, 6, 7, 8)
    assert torch.allclose(own(x), Grouped(own)(x), atol=1e-5)


def test_lora_starts_at_the_frozen_layer_and_merges() -> None:
    torch.manual_seed(0)
    frozen = nn.Linear(12, 7)
    lora = LoraLinear(frozen, 3, 6.0)
    x = torch.randn(5, 12)
    assert torch.equal(lora(x), frozen(x))
    with torch.no_grad():
        lora.up.normal_()
    assert not torch.allclose(lora(x), frozen(x))
    assert torch.allclose(lora.merged()(x), lora(x), atol=1e-5)
    assert {n for n, p in lora.named_parameters() if p.requires_grad} == {"down", "up"}
    with pytest.raises(HwsimError, match="rank"):
        LoraLinear(nn.Linear(4, 4), 5, 1.0)


def test_attention_equals_torch() -> None:
    torch.manual_seed(0)
    own = Attention(16, 4)
    reference = nn.MultiheadAttention(16, 4, bias=False, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([own.query.weight, own.key.weight, own.value.weight]))
        reference.out_proj.weight.copy_(own.out.weight)
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    assert torch.allclose(own(x, memory), reference(x, memory, memory)[0], atol=1e-5)


def test_decoder_does_not_look_ahead_and_products_add_up() -> None:
    torch.manual_seed(0)
    model = Transformer(11, 6, 8, 2, 16, 1).eval()
    source, target = torch.randint(0, 11, (1, 6)), torch.randint(0, 11, (1, 6))
    changed = target.clone()
    changed[0, 4:] = (changed[0, 4:] + 1) % 11
    assert torch.allclose(model(source, target)[:, :4], model(source, changed)[:, :4], atol=1e-6)
    # one layer, two heads: three attentions of 4 + 2·2, two feed-forwards of 2, the logits
    assert sum(matrix_products(1, 2).values()) == 3 * 8 + 2 * 2 + 1


def test_llama_decodes_with_its_cache_as_without() -> None:
    torch.manual_seed(0)
    model = llama.Llama(llama.Shape(32, 48, 2, 4, 2, 64, 8), 16).eval()
    tokens = torch.randint(0, 64, (1, 10))
    whole = model(tokens, torch.arange(10), *model.empty_cache())[0]
    _, keys, values = model(tokens[:, :9], torch.arange(9), *model.empty_cache())
    step = model(tokens[:, 9:], torch.tensor([9]), keys, values)[0]
    assert torch.allclose(whole, step, atol=1e-5)
    # the reference: attention over explicit positions by torch's own function
    layer, x = model.layers[0], torch.randn(1, 5, 32)
    s = model.shape
    cos, sin, position = model.cos[:5], model.sin[:5], torch.arange(5)
    mask = torch.zeros(5, 16).masked_fill(torch.arange(16)[None] > position[:, None], float("-inf"))
    keys, values = (c[0] for c in model.empty_cache())
    out = layer.self_attn(x, cos, sin, keys, values, position, mask)[0]
    shape = lambda y, h: y.view(1, 5, h, s.head_dim).transpose(1, 2)  # noqa: E731
    q = llama.rotate(shape(layer.self_attn.q_proj(x), 4), cos, sin)
    k = llama.rotate(shape(layer.self_attn.k_proj(x), 2), cos, sin)
    v = shape(layer.self_attn.v_proj(x), 2)
    y = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    assert torch.allclose(out, layer.self_attn.o_proj(y.transpose(1, 2).reshape(1, 5, -1)), atol=1e-5)


def test_every_shipped_recipe_is_valid_and_faults_are_named(tmp_path: object) -> None:
    assert len(shipped()) >= 10
    for name in shipped():
        load_recipe(name)
    from pathlib import Path

    file = Path(str(tmp_path)) / "own.yaml"
    file.write_text("name: x\ntitle: x\ntraining: {epochs: 0, learning_rate: 0.1}\n")
    with pytest.raises(HwsimError, match=r"training.epochs: .*greater than or equal to 1, found 0"):
        load_recipe(str(file))
    with pytest.raises(HwsimError, match="Did you mean 'mit-lab1'"):
        load_recipe("mit-lab2")
