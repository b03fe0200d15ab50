"""What peft 0.21 and transformers 5.23 get wrong, and what we rely on: each is pinned, so that an upgrade that mends or breaks it
is noticed. A test that fails here is news: read which workaround it names, and see whether that may go.
"""

import copy
import inspect

import pytest
import torch
from model_families import make_family
from peft import (
    AdaptionPromptConfig,
    LoraConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    get_peft_model,
    inject_adapter_in_model,
)
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainingArguments

IDS = torch.tensor([[1, 40, 60, 80, 100, 2]])
MASK = torch.ones_like(IDS)
PADDED = torch.cat([IDS, torch.zeros(1, 3, dtype=torch.int64)], dim=1)
PADDED_MASK = torch.cat([MASK, torch.zeros(1, 3, dtype=torch.int64)], dim=1)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_family(tmp_path_factory.mktemp("bases") / "llama", "llama")


@pytest.fixture
def causal(base):
    return AutoModelForCausalLM.from_pretrained(base).eval()


@pytest.fixture
def classifier(base):
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_pretrained(base, num_labels=2).eval()


def lora(**options) -> LoraConfig:
    return LoraConfig(**{"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"], **options})


def shake(model, marker: str, seed: int = 1) -> None:
    """Gives the weights of an adapter random values."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if marker in name:
                parameter.normal_(std=0.2)


def logits(model, **given) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS, attention_mask=MASK, **given).logits.clone()


@pytest.mark.parametrize(("task_type", "loads"), [("CAUSAL_LM", False), (None, True)])
def test_a_lora_of_a_language_model_loads_onto_a_classifier_only_without_a_type(
    causal, classifier, tmp_path, task_type, loads
):
    # Hence `task_type: null` in our files.
    get_peft_model(causal, lora(task_type=task_type)).save_pretrained(tmp_path)
    if loads:
        PeftModel.from_pretrained(classifier, tmp_path)
    else:
        with pytest.raises((AttributeError, KeyError)):
            PeftModel.from_pretrained(classifier, tmp_path)


def test_two_adapters_are_made_active_only_on_the_base_model_which_makes_both_trainable(causal):
    # Hence `Stack._activate`, which sets frozenness again.
    model = get_peft_model(causal, lora(), adapter_name="clinical")
    model.add_adapter("task", lora())
    with pytest.raises((TypeError, ValueError)):
        model.set_adapter(["clinical", "task"])
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.base_model.set_adapter(["clinical", "task"])
    assert all(p.requires_grad for n, p in model.named_parameters() if "lora_" in n)


def test_the_second_adapter_alone_loads_without_a_word_and_shifts_the_logits(base, causal, tmp_path):
    # Hence parents in our lineage files.
    both = get_peft_model(causal, lora(), adapter_name="clinical")
    both.add_adapter("task", lora())
    shake(both, "lora_")
    both.base_model.set_adapter(["clinical", "task"])
    both.save_pretrained(tmp_path)
    alone = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "task").eval()
    assert float((logits(both) - logits(alone)).abs().max()) > 0.01


def test_merging_one_of_two_live_adapters_drops_the_other_and_merging_first_is_exact(base, causal, tmp_path):
    # Hence, for a merged clinical adapter: merge and unload, then attach the task adapter.
    both = get_peft_model(causal, lora(), adapter_name="clinical")
    both.add_adapter("task", lora())
    shake(both, "lora_")
    both.base_model.set_adapter(["clinical", "task"])
    expected = logits(both)
    both.save_pretrained(tmp_path)

    live = copy.deepcopy(both)
    merged = live.merge_and_unload(adapter_names=["clinical"])
    assert float((logits(merged) - expected).abs().max()) > 0.01

    first = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), tmp_path / "clinical"
    ).merge_and_unload()
    then = PeftModel.from_pretrained(first, tmp_path / "task").eval()
    torch.testing.assert_close(logits(then), expected, atol=1e-5, rtol=0)


def test_two_loras_concatenated_are_one_of_their_ranks_summed(causal):
    both = get_peft_model(causal, lora(), adapter_name="clinical")
    both.add_adapter("task", lora())
    shake(both, "lora_")
    both.base_model.set_adapter(["clinical", "task"])
    expected = logits(both)
    both.add_weighted_adapter(["clinical", "task"], [1.0, 1.0], "one", combination_type="cat")
    both.set_adapter("one")
    torch.testing.assert_close(logits(both), expected, atol=1e-5, rtol=0)


def test_prompt_tuning_through_pefts_classifier_reads_a_padding_position(classifier):
    # Hence FEATURE_EXTRACTION and a head of our own, which reads by the mask.
    model = get_peft_model(classifier, PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3)).eval()
    with torch.inference_mode():
        alone = model(input_ids=IDS, attention_mask=MASK).logits
        padded = model(input_ids=PADDED, attention_mask=PADDED_MASK).logits
    assert float((alone - padded).abs().max()) > 1e-3


def test_an_adaption_prompt_freezes_the_classifiers_head_and_does_not_save_it(classifier, tmp_path):
    from safetensors.torch import load_file

    model = get_peft_model(classifier, AdaptionPromptConfig(task_type="SEQ_CLS", adapter_len=3, adapter_layers=1))
    assert not any(p.requires_grad for n, p in model.named_parameters() if "score" in n)
    model.save_pretrained(tmp_path)
    assert not any("score" in name for name in load_file(tmp_path / "adapter_model.safetensors"))


def test_prefix_tuning_refuses_gradient_checkpointing_and_transformers_would_drop_the_prefix(causal):
    # Hence `checkpointed_layers`, and a prefix that may be read twice.
    from transformers.modeling_layers import GradientCheckpointingLayer

    causal.activation_checkpointing_enable()
    with pytest.raises(ValueError, match="does not work with gradient checkpointing"):
        get_peft_model(causal, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    assert not GradientCheckpointingLayer._can_checkpoint_with_cache


def test_prefix_tuning_differs_under_left_padding(base):
    # Hence padding on the right alone.
    from transformers import AutoModel

    config = PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=3)
    torch.manual_seed(0)
    model = get_peft_model(AutoModel.from_pretrained(base).eval(), config).eval()
    left, left_mask = PADDED.roll(3, dims=1), PADDED_MASK.roll(3, dims=1)
    with torch.inference_mode():
        alone = model(input_ids=IDS, attention_mask=MASK).last_hidden_state[:, -1]
        right = model(input_ids=PADDED, attention_mask=PADDED_MASK).last_hidden_state[:, 5]
        on_the_left = model(input_ids=left, attention_mask=left_mask).last_hidden_state[:, -1]
    torch.testing.assert_close(right, alone, atol=1e-5, rtol=0)
    assert float((on_the_left - alone).abs().max()) > 1e-3


def test_a_lora_cannot_be_added_to_a_prompt_model_but_may_be_there_before(causal, base):
    # Hence virtual tokens of our own beside whatever layers hold.
    prompt = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    with pytest.raises(ValueError, match="Cannot combine adapters"):
        get_peft_model(causal, prompt).add_adapter("task", lora())
    before = inject_adapter_in_model(lora(), AutoModelForCausalLM.from_pretrained(base))
    shake(before, "lora_")
    with pytest.warns(UserWarning, match="modify a model with PEFT for a second time"):
        wrapped = get_peft_model(before, prompt).eval()
    assert logits(wrapped).shape[1] == IDS.shape[1] + 3


def test_one_adapter_per_row_is_exact_and_refuses_stacks(causal):
    model = get_peft_model(causal, lora(), adapter_name="first").eval()
    model.add_adapter("second", lora())
    model.eval()
    shake(model, "lora_")
    both = torch.cat([IDS, IDS])
    with torch.inference_mode():
        mixed = model(input_ids=both, adapter_names=["first", "second"]).logits
    for row, name in enumerate(("first", "second")):
        model.set_adapter(name)
        torch.testing.assert_close(mixed[row : row + 1], logits(model), atol=1e-5, rtol=0)
    with pytest.raises((TypeError, ValueError, KeyError)), torch.inference_mode():
        model(input_ids=both, adapter_names=[["first", "second"], "first"])


def test_packed_notes_see_their_neighbours_unless_the_cache_is_off(causal):
    # Hence `use_cache=False` in `Backbone`.
    tokens, positions = torch.cat([IDS, IDS], dim=1), torch.tensor([[*range(6), *range(6)]])
    with torch.inference_mode():
        without = causal(input_ids=tokens, position_ids=positions, use_cache=False).logits
        default = causal(input_ids=tokens, position_ids=positions).logits
    torch.testing.assert_close(without[:, 6:], logits(causal), atol=1e-5, rtol=0)
    assert float((default[:, 6:] - logits(causal)).abs().max()) > 0.01


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2"])
def test_a_decoder_can_be_split_between_its_layers_exactly(tmp_path, family):
    model = AutoModelForCausalLM.from_pretrained(make_family(tmp_path / family, family)).eval().base_model
    below, above = copy.copy(model), copy.copy(model)
    below._modules, above._modules = dict(model._modules), dict(model._modules)
    below.layers, below.norm = model.layers[:1], torch.nn.Identity()
    above.layers = model.layers[1:]
    with torch.inference_mode():
        trunk = below(input_ids=IDS, attention_mask=MASK, use_cache=False).last_hidden_state
        split = above(inputs_embeds=trunk, attention_mask=MASK, use_cache=False).last_hidden_state
        assert torch.equal(split, model(input_ids=IDS, attention_mask=MASK, use_cache=False).last_hidden_state)


def test_the_trainers_old_option_names_are_gone():
    known = inspect.signature(TrainingArguments.__init__).parameters
    assert not {"group_by_length", "evaluation_strategy"} & set(known)


def test_a_tokenizer_may_leave_out_the_start_token(base):
    # Hence `NoteTokenizer`, which adds it by itself, once.
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert tokenizer.bos_token_id not in tokenizer("pain")["input_ids"]


def test_a_classifier_of_several_rows_needs_a_padding_id(base, classifier):
    classifier.config.pad_token_id = None
    with pytest.raises(ValueError, match="padding token"):
        classifier(input_ids=torch.cat([IDS, IDS]))
