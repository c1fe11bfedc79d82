use serde_json::json;

use super::*;

fn sound() -> Value {
    json!({
        "architectures": ["BitNetForCausalLM"], "model_type": "bitnet", "vocab_size": 64,
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "relu2",
        "rms_norm_eps": 1e-5, "max_position_embeddings": 128, "tie_word_embeddings": true,
        "rope_theta": 500_000.0, "eos_token_id": [1, 2],
        "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear"}
    })
}

fn parse(config: &Value) -> Result<ModelConfig, Error> {
    ModelConfig::parse(Path::new("config.json"), config.to_string().as_bytes())
}

#[track_caller]
fn check_refused(pointer: &str, value: Value, words: &str) {
    let mut config = sound();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(parent).unwrap()[key] = value;
    let text = parse(&config).unwrap_err().to_string();
    assert!(text.contains(words), "`{text}` lacks `{words}`");
}

#[test]
fn a_sound_config_is_read() {
    let config = parse(&sound()).unwrap();
    assert_eq!((config.head_dim, config.kv_width()), (16, 32));
    assert_eq!(config.eos_ids, [1, 2]);
    assert_eq!(
        config.quantization,
        Quantization::Offline {
            convention: ScaleConvention::Direct,
            is_stated: true
        }
    );
}

#[test]
fn every_needed_key_is_missed_by_name() {
    for key in [
        "architectures",
        "model_type",
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "hidden_act",
        "rms_norm_eps",
        "max_position_embeddings",
        "tie_word_embeddings",
        "rope_theta",
    ] {
        let mut config = sound();
        config.as_object_mut().unwrap().remove(key);
        let text = parse(&config).unwrap_err().to_string();
        assert_eq!(text, format!("config.json has no key `{key}`"));
    }
}

#[test]
fn the_scale_convention_follows_linear_class_alone() {
    let mut config = sound();
    config["quantization_config"]
        .as_object_mut()
        .unwrap()
        .remove("linear_class");
    assert_eq!(
        parse(&config).unwrap().quantization,
        Quantization::Offline {
            convention: ScaleConvention::Inverse,
            is_stated: false
        }
    );
}

#[test]
fn the_activation_is_the_one_named() {
    let mut config = sound();
    assert_eq!(parse(&config).unwrap().act, Activation::Relu2);
    config["hidden_act"] = json!("silu");
    assert_eq!(parse(&config).unwrap().act, Activation::Silu);
    check_refused("/hidden_act", json!("gelu"), "relu2 or silu");
}

#[test]
fn head_dim_comes_from_its_key() {
    let mut config = sound();
    config["head_dim"] = json!(32);
    let config = parse(&config).unwrap();
    assert_eq!(
        (config.head_dim, config.q_width(), config.hidden_size),
        (32, 128, 64)
    );
}

#[test]
fn rope_is_read_from_either_place() {
    let mut config = sound();
    config.as_object_mut().unwrap().remove("rope_theta");
    config["rope_parameters"] = json!({"rope_theta": 1e4, "rope_type": "default"});
    assert!((parse(&config).unwrap().rope_theta - 1e4).abs() < f64::EPSILON);
    config["rope_theta"] = json!(1e4);
    assert!(parse(&config).is_ok(), "both places say the same");
    config["rope_theta"] = json!(5e5);
    let error = parse(&config).unwrap_err().to_string();
    assert!(error.contains("as `rope_parameters.rope_theta`"), "{error}");
    config.as_object_mut().unwrap().remove("rope_theta");
    config["rope_parameters"]["rope_type"] = json!("yarn");
    assert!(
        parse(&config)
            .unwrap_err()
            .to_string()
            .contains("rope_type `yarn`")
    );
    check_refused(
        "/rope_scaling",
        json!({"type": "linear", "factor": 2}),
        "rope_type `linear`",
    );
}

#[test]
fn what_is_not_understood_is_refused() {
    check_refused(
        "/architectures",
        json!(["Qwen3ForCausalLM"]),
        "`Qwen3ForCausalLM`",
    );
    check_refused("/model_type", json!("llama"), "model_type `llama`");
    check_refused(
        "/quantization_config/input_bits",
        json!(4),
        "`quantization_config.input_bits`",
    );
    check_refused("/quantization_config/quant_method", json!("gptq"), "`gptq`");
    check_refused(
        "/quantization_config/use_rms_norm",
        json!(true),
        "use_rms_norm",
    );
    check_refused(
        "/quantization_config/modules_to_not_convert",
        json!(["q_proj"]),
        "lm_head",
    );
    check_refused("/attention_bias", json!(true), "attention_bias");
    check_refused("/num_key_value_heads", json!(3), "a divisor of the 4 heads");
    check_refused("/head_dim", json!(15), "an even number");
    check_refused("/vocab_size", json!(0), "from 1");
    check_refused("/eos_token_id", json!([-1]), "a token id");
}

#[test]
fn one_bit_weights_are_masters() {
    let mut config = sound();
    config["architectures"] = json!(["BitnetForCausalLM"]);
    config["model_type"] = json!("llama");
    config["hidden_act"] = json!("silu");
    config["weight_bits"] = json!(1);
    config["input_bits"] = json!(8);
    config
        .as_object_mut()
        .unwrap()
        .remove("quantization_config");
    let parsed = parse(&config).unwrap();
    assert_eq!(parsed.family, Family::BitNet);
    assert_eq!(parsed.quantization, Quantization::Online);
    config["input_bits"] = json!(4);
    let text = parse(&config).unwrap_err().to_string();
    assert!(
        text.contains("`input_bits` of config.json is 4, expected 8"),
        "{text}"
    );
}

#[test]
fn a_marked_llama_is_a_bitnet_of_reciprocal_scales() {
    let mut config = sound();
    config["architectures"] = json!(["LlamaForCausalLM"]);
    config["model_type"] = json!("llama");
    config["is_bitnet_config"] = json!(true);
    config
        .as_object_mut()
        .unwrap()
        .remove("quantization_config");
    let parsed = parse(&config).unwrap();
    assert_eq!(parsed.family, Family::LlamaBitNet);
    let inverse = Quantization::Offline {
        convention: ScaleConvention::Inverse,
        is_stated: false,
    };
    assert_eq!(parsed.quantization, inverse);
}

#[test]
fn what_the_manifest_says_of_masters_decides_only_what_is_open() {
    let parse_as = |config: &Value, is_online| {
        let text = config.to_string();
        ModelConfig::parse_as(Path::new("config.json"), text.as_bytes(), is_online)
    };
    let mut config = sound();
    assert_eq!(
        parse_as(&config, Some(true)).unwrap().quantization,
        Quantization::Online
    );
    config["quantization_config"]["quantization_mode"] = json!("offline");
    let text = parse_as(&config, Some(true)).unwrap_err().to_string();
    assert!(text.contains("is offline, expected online"), "{text}");
    config["quantization_config"]["quantization_mode"] = json!("online");
    assert!(parse_as(&config, Some(true)).is_ok());
    let text = parse_as(&config, Some(false)).unwrap_err().to_string();
    assert!(text.contains("is online, expected offline"), "{text}");
    config
        .as_object_mut()
        .unwrap()
        .remove("quantization_config");
    assert_eq!(
        parse_as(&config, Some(true)).unwrap().quantization,
        Quantization::Online
    );
}

#[test]
fn a_plain_llama_is_not_a_bitnet() {
    let mut config = sound();
    config["architectures"] = json!(["LlamaForCausalLM"]);
    config["model_type"] = json!("llama");
    assert_eq!(parse(&config).unwrap().family, Family::LlamaBitNet);
    config
        .as_object_mut()
        .unwrap()
        .remove("quantization_config");
    assert!(
        parse(&config)
            .unwrap_err()
            .to_string()
            .contains("without quant_method")
    );
}
