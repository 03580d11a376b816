"""What is seen of attention: post-rope queries and keys, against the model's own weights and its rotary embedding.

The reference shares no code with the engine: the rotary embedding is done with complex numbers.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from accelerate import cpu_offload
from diffusers import WanTransformer3DModel
from diffusers.models.attention_dispatch import attention_backend
from torch.nn import functional

from dit_lens.engine.attention import check_backend, observed_attention
from dit_lens.engine.errors import Untraceable
from dit_lens.engine.probabilities import frames_attention


@pytest.fixture(autouse=True)
def backends():
    """A denoiser's backend is also made that of the whole process; give back what was there."""
    with attention_backend("native"):
        yield


def denoiser(image=False, dtype=torch.float64):
    """An untrained Wan denoiser of 2 layers; with ``image``, one of Wan 2.1 that attends over an image's tokens too."""
    torch.manual_seed(1)
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=3,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=16,
        freq_dim=16,
        ffn_dim=24,
        num_layers=2,
        rope_max_seq_len=32,
        image_dim=16 if image else None,
        added_kv_proj_dim=36 if image else None,
    )
    return model.to(dtype).eval()


def call(model, image=False, rows=1):
    generator = torch.Generator().manual_seed(2)
    dtype = model.dtype

    def noise(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    inputs = {
        "hidden_states": noise(rows, 4, 3, 4, 8),
        "timestep": torch.tensor([500.0] * rows),
        "encoder_hidden_states": noise(rows, 512 if image else 6, 16),
        "encoder_hidden_states_image": noise(rows, 5, 16) if image else None,
    }
    with torch.no_grad():
        return model(**inputs, return_dict=False)[0]


@contextmanager
def listening(module):
    calls = []
    with observed_attention(module, calls.append):
        yield calls


def stack_depth():
    return torch._C._len_torch_function_stack()


# What is seen


@pytest.mark.parametrize("fused", [False, True])
def test_queries_and_keys_are_those_after_the_rotary_embedding(fused):
    model = denoiser()
    attention = model.blocks[1].attn1
    given_to = []
    attention.register_forward_pre_hook(lambda _, args: given_to.append(args))
    if fused:
        model.fuse_qkv_projections()
    with listening(attention) as calls:
        call(model)
    (tokens, _, _, (cos, sin)), ((seen,),) = given_to[0], calls
    turn = torch.complex(cos[0, :, 0, 0::2], sin[0, :, 0, 1::2])
    for project, norm, found in (
        (attention.to_q, attention.norm_q, seen.q_BHND),
        (attention.to_k, attention.norm_k, seen.k_BHMD),
    ):
        heads = norm(project(tokens))[0].unflatten(-1, (3, 6, 2)).transpose(0, 1)
        turned = torch.view_as_real(torch.view_as_complex(heads.contiguous()) * turn).flatten(-2)
        torch.testing.assert_close(found[0], turned, rtol=0, atol=1e-10)
        assert not torch.allclose(found[0], heads.flatten(-2), atol=1e-3)
    torch.testing.assert_close(seen.v_BHMD[0], attention.to_v(tokens)[0].unflatten(-1, (3, 12)).transpose(0, 1))
    assert seen.scale == pytest.approx(12**-0.5)
    assert (seen.mask, seen.causal) == (None, False)


def test_seen_arguments_give_the_modules_output():
    model = denoiser()
    attention, outputs = model.blocks[0].attn2, []
    attention.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    with listening(attention) as calls:
        call(model, rows=2)
    for row in range(2):
        seen = calls[0][0].row(row)
        map_HNM = torch.softmax(seen.q_HND @ seen.k_HMD.mT * seen.scale, dim=-1)
        mixed = (map_HNM @ seen.v_HMD).transpose(0, 1).flatten(1)
        torch.testing.assert_close(attention.to_out[0](mixed), outputs[0][row])


def test_several_attentions_of_one_module_come_in_order():
    model = denoiser(image=True)
    with listening(model.blocks[0].attn2) as calls:
        call(model, image=True)
    ((over_image, over_text),) = calls
    assert (over_image.k_BHMD.shape[2], over_text.k_BHMD.shape[2]) == (5, 512)
    assert torch.equal(over_image.q_BHND, over_text.q_BHND)


def test_nothing_outside_of_the_module_is_seen():
    model = denoiser()
    first, second = model.blocks[0].attn1, model.blocks[1].attn1

    def other_hook(*_):
        tokens = torch.ones(1, 1, 2, 2)
        functional.scaled_dot_product_attention(tokens, tokens, tokens)

    second.register_forward_pre_hook(other_hook)
    second.register_forward_hook(other_hook)
    with listening(first) as of_first, listening(second) as of_second, listening(second) as again:
        call(model)
    assert [len(calls) for calls in (*of_first, *of_second, *again)] == [1, 1, 1]
    assert torch.equal(of_second[0][0].q_BHND, again[0][0].q_BHND)
    assert not torch.equal(of_first[0][0].q_BHND, again[0][0].q_BHND)


def nothing(model):
    return model


def fuse(model):
    model.fuse_qkv_projections()
    return model


def group_offload(model):
    cpu = torch.device("cpu")
    model.enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type="leaf_level")
    return model


def sequential_offload(model):
    return cpu_offload(model, execution_device=torch.device("cpu"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("prepare", [nothing, fuse, group_offload, sequential_offload])
def test_a_denoiser_computes_the_same_bits_while_it_is_observed(prepare, dtype):
    model = prepare(denoiser(dtype=dtype))
    plain = call(model)
    with listening(model.blocks[0].attn1) as over_video, listening(model.blocks[1].attn2) as over_text:
        observed = call(model)
    assert torch.equal(plain, observed)
    assert over_video[0][0].q_BHND.dtype == dtype
    assert [len(calls) for calls in (*over_video, *over_text)] == [1, 1]
    assert torch.equal(plain, call(model))
    assert (len(over_video), len(over_text)) == (1, 1)


def test_a_pipeline_computes_the_same_bits_while_its_attention_is_reduced(kit):
    pipeline = kit.build("t2v", "euler", experts=1)

    def run():
        size = {"height": 32, "width": 32, "num_frames": 5}
        noise = torch.Generator().manual_seed(0)
        asked = {"prompt": "Draw", "num_inference_steps": 3, "guidance_scale": 3.0, "output_type": "latent"}
        return pipeline(**asked, **size, generator=noise).frames

    shares = []

    def reduce(calls):
        shares.append(frames_attention(calls[0].row(0), (2, 4, 4), range(2), range(16), range(2)))

    plain = run()
    with observed_attention(pipeline.transformer.blocks[2].attn1, reduce):
        assert torch.equal(run(), plain)
    assert len(shares) == 2 * 3
    assert torch.stack(shares).sum(-1).sub(1).abs().max() < 1e-6


X = torch.ones(1, 2, 3, 4)


class Odd(torch.nn.Module):
    def __init__(self, **arguments):
        super().__init__()
        self.arguments = arguments

    def forward(self, x):
        return functional.scaled_dot_product_attention(x, x, x, **self.arguments)


def test_arguments_are_seen_as_they_were_passed():
    bias = torch.zeros(3, 3)
    masked, causal = Odd(attn_mask=bias, scale=0.7), Odd(is_causal=True)
    with listening(masked) as of_masked, listening(causal) as of_causal, torch.inference_mode():
        masked(X)
        causal(X)
    ((first,),), ((second,),) = of_masked, of_causal
    assert (first.scale, first.causal, first.mask.data_ptr()) == (0.7, False, bias.data_ptr())
    assert (second.scale, second.causal, second.mask) == (0.5, True, None)
    assert first.q_BHND.data_ptr() == X.data_ptr()
    assert second.row(0).causal


# Nothing is left behind


class Failing(torch.nn.Module):
    error: BaseException | None = None

    def forward(self, x):
        out = functional.scaled_dot_product_attention(x, x, x)
        if self.error is not None:
            raise self.error
        return out


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()], ids=["exception", "interrupt"])
def test_nothing_is_left_after_an_exception_in_the_module(error):
    module, calls = Failing(), []
    module.error = error
    with pytest.raises(type(error)), observed_attention(module, calls.append):
        module(X)
    assert (stack_depth(), calls) == (0, [])
    assert not module._forward_hooks
    assert not module._forward_pre_hooks


def test_a_module_that_failed_once_is_seen_again():
    module = Failing()
    with listening(module) as calls:
        module.error = ValueError("broken")
        with pytest.raises(ValueError, match="broken"):
            module(X)
        assert stack_depth() == 0
        module.error = None
        try:
            raise OSError
        except OSError:
            module(X)  # a model may be run where somebody handles an error of his own
    assert [len(seen) for seen in calls] == [1]


def test_what_on_calls_raises_ends_the_run_and_leaves_nothing():
    module = Failing()

    def refuse(_calls):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), observed_attention(module, refuse):
        module(X)
    assert (stack_depth(), len(module._forward_hooks)) == (0, 0)


def test_a_pre_hook_that_fails_before_ours_is_no_attention():
    module, calls = Failing(), []

    def fail(*_):
        raise ValueError("early")

    module.register_forward_pre_hook(fail)
    with pytest.raises(ValueError, match="early"), observed_attention(module, calls.append):
        module(X)
    assert (stack_depth(), calls) == (0, [])


# What cannot be seen is refused


class Silent(torch.nn.Module):
    def forward(self, x):
        return (x @ x.mT).softmax(-1) @ x


class Overwriting(torch.nn.Module):
    def forward(self, x):
        x = x.clone()
        out = functional.scaled_dot_product_attention(x, x, x)
        x.zero_()
        return out


@pytest.mark.parametrize(
    ("module", "tokens", "message"),
    [
        (Odd(dropout_p=0.5), X, r"the attention of blocks\.3 is random; got dropout 0\.5, allowed 0; call eval\(\)"),
        (
            Odd(),
            X[0],
            r"blocks\.3 has no batch or no heads; got query \(2, 3, 4\) and key \(2, 3, 4\), allowed",
        ),
        (Silent(), X, r"nothing was seen of the attention of blocks\.3; got no call, allowed one or more"),
        (Overwriting(), X, r"blocks\.3 wrote over its own queries, keys or values; got changed tensors"),
    ],
    ids=["dropout", "dimensions", "silent", "overwriting"],
)
def test_an_attention_that_cannot_be_trusted_is_refused(module, tokens, message):
    with pytest.raises(Untraceable, match=message), observed_attention(module, lambda _: None, name="blocks.3"):
        module(tokens)
    assert stack_depth() == 0


@pytest.mark.parametrize("backend", ["native", "_native_math"])
def test_backends_that_are_torchs_own_pass_and_are_seen(backend):
    model = denoiser(dtype=torch.float32)
    model.set_attention_backend(backend)
    check_backend(model.blocks[0].attn1)
    with listening(model.blocks[0].attn1) as calls:
        call(model)
    assert len(calls[0]) == 1


def test_another_backend_is_refused_by_name():
    model = denoiser()
    check_backend(model.blocks[0].attn1)
    model.set_attention_backend("flex")
    message = r"the attention of blocks\.0\.attn1 cannot be seen; got attention backend 'flex', allowed .*native; .*"
    with pytest.raises(Untraceable, match=message + r'set_attention_backend\("native"\)'):
        check_backend(model.blocks[0].attn1, name="blocks.0.attn1")


def test_a_backend_that_is_active_everywhere_is_refused_by_name():
    attention = denoiser().blocks[0].attn1
    with attention_backend("flex"), pytest.raises(Untraceable, match=r"WanAttention cannot be seen; got .* 'flex'"):
        check_backend(attention)
    check_backend(attention)


def test_attention_over_several_devices_is_refused():
    attention = denoiser().blocks[0].attn1
    attention.processor._parallel_config = object()
    with pytest.raises(Untraceable, match="WanAttention is split over devices; got context parallelism"):
        check_backend(attention)
