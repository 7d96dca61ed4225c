use serde::Serialize;

use super::*;
use crate::options;

mod view;

fn encoded(options: &Options) -> Vec<u8> {
    let mut out = Vec::new();
    options.put(&mut out);
    out
}

fn read(bytes: &[u8]) -> Result<Options, Malformed> {
    let mut reader = Reader::new(bytes);
    let options = Options::read(&mut reader)?;
    reader.finish()?;
    Ok(options)
}

/// Both sides of the wire agree on what is allowed.
fn allowed(options: &Options) -> bool {
    let checked = options.check();
    assert_eq!(checked.is_ok(), read(&encoded(options)).is_ok(), "{checked:?}");
    if let Err(error) = &checked {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    checked.is_ok()
}

#[test]
fn options_come_back() {
    let options = options! { "role": "api", "n": 3, "list": [1, 2], "cfg": { "a": 1 }, };
    assert_eq!(read(&encoded(&options)).unwrap(), options);
    assert_eq!(read(&[0xa0]).unwrap(), options! {});
}

#[test]
fn damaged_options_are_refused_or_read_as_what_they_say() {
    let sample = encoded(&options! { "_id": "n1", "load": 0.5, "gpu": { "memory": [80, null] } });
    for len in 0..sample.len() {
        assert!(read(&sample[..len]).is_err());
    }
    let mut damaged = sample.clone();
    for at in 0..sample.len() {
        for byte in 0..=255 {
            damaged[at] = byte;
            if let Ok(options) = read(&damaged) {
                assert_eq!(encoded(&options), damaged);
            }
        }
        damaged[at] = sample[at];
    }
}

#[test]
fn bytes_are_limited_to_the_byte() {
    let of_size = |size: usize| {
        let options = Options::new().with("k", "x".repeat(size - 6));
        assert_eq!(encoded(&options).len(), size);
        options
    };
    assert!(allowed(&of_size(OPTIONS_BYTES - 1)));
    assert!(allowed(&of_size(OPTIONS_BYTES)));
    assert!(!allowed(&of_size(OPTIONS_BYTES + 1)));
    let error = of_size(OPTIONS_BYTES + 1).check().unwrap_err();
    assert!(error.message().contains("8192") && error.message().contains("8193"), "{error}");
}

#[test]
fn entries_and_depth_are_limited() {
    let of_len = |len: usize| {
        (0..len).fold(Options::new(), |options, index| options.with(index.to_string(), index))
    };
    assert!(allowed(&of_len(OPTIONS_ENTRIES - 1)));
    assert!(allowed(&of_len(OPTIONS_ENTRIES)));
    assert!(!allowed(&of_len(OPTIONS_ENTRIES + 1)));
    assert!(allowed(&options! { "a": [[[]]] }));
    assert!(!allowed(&options! { "a": [[[[]]]] }));
    assert!(!allowed(&options! { "a": { "b": { "c": { "d": {} } } } }));
    assert!(options! { "a": [1i128 << 64] }.check().is_err());
}

#[test]
fn huge_options_are_refused_before_they_are_built() {
    let deep: Vec<u8> = std::iter::repeat_n([0xa1, 0x60], 800_000).flatten().collect();
    assert!(read(&deep).is_err());
    let wide = encoded(&options! { "a": vec![0; 1_000_000] });
    assert_eq!(read(&wide), Err(Malformed("a value has too many bytes")));
}

#[test]
fn the_id_is_always_the_nodes_own() {
    let id = NodeId::new("n1").unwrap();
    let options = options! { "_id": "other", "a": 1 }.with_id(&id);
    assert_eq!((options.get_str("_id"), options.len()), (Some("n1"), 2));
}

#[test]
fn merging_replaces_and_keeps_and_leaves_clones_alone() {
    let before = options! { "a": 1, "b": 2 };
    let merged = before.merged(&options! { "b": 3, "c": 4 });
    assert_eq!(merged, options! { "a": 1, "b": 3, "c": 4 });
    let changed = before.clone().with("a", 9);
    assert_eq!((before.get_u64("a"), changed.get_u64("a")), (Some(1), Some(9)));
}

#[test]
fn getters_convert_nothing_but_numbers_to_floats() {
    let options = options! { "n": 3, "m": -3, "f": 0.5, "t": "x", "b": true };
    assert_eq!((options.get_u64("n"), options.get_u64("m")), (Some(3), None));
    assert_eq!((options.get_i64("m"), options.get_i64("f")), (Some(-3), None));
    assert_eq!((options.get_f64("n"), options.get_f64("f")), (Some(3.0), Some(0.5)));
    assert_eq!((options.get_str("t"), options.get_str("n")), (Some("x"), None));
    assert_eq!((options.get_bool("b"), options.get_bool("none")), (Some(true), None));
    assert_eq!(options.iter().next(), Some(("b", &Value::Bool(true))));
}

#[derive(Serialize)]
struct Worker {
    role: &'static str,
    cores: Option<u32>,
}

#[test]
fn a_struct_becomes_options_and_a_number_does_not() {
    let options = Options::from_serde(&Worker { role: "api", cores: Some(4) }).unwrap();
    assert_eq!(options, options! { "role": "api", "cores": 4 });
    assert_eq!(Options::from_serde(&3).unwrap_err().kind(), ErrorKind::Encode);
    let error = Options::from_serde(&std::collections::HashMap::from([(1, 2)])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
}
