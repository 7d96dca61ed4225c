use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::*;
use crate::config::PAYLOAD_DEPTH;
use crate::error::ErrorKind;
use crate::scan::{byte_string, scan};

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: T) {
    let payload = data.encode().unwrap();
    assert_eq!(T::decode(&payload).unwrap(), data);
    let shared = Arc::new([&[9, 9], &*payload.to_item(), &[9]].concat());
    let received = Payload::from_shared(shared, 2..2 + payload.len());
    assert_eq!(T::decode(&received).unwrap(), data);
}

fn refused<T: Decode + Debug>(item: &[u8]) -> String {
    let error = T::decode(&Payload::from_item_slice(item)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.message().contains(std::any::type_name::<T>()), "{error}");
    error.message().to_owned()
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Shape {
    Dot,
    Ring(u8),
    Line(u8, u8),
    Slab { wide: u8 },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct User {
    id: u64,
    name: String,
    #[serde(flatten)]
    more: BTreeMap<String, i8>,
}

#[test]
fn whatever_serde_serialises_comes_back() {
    comes_back(());
    comes_back(None::<u8>);
    comes_back(Some(0));
    comes_back((0, String::new(), false));
    comes_back((u64::MAX, i64::MIN, i128::MAX, i128::MIN, u128::MAX));
    comes_back((1u128 << 64, -(1i128 << 64), -(1i128 << 64) - 1));
    comes_back((0.5, f32::MAX, f64::MIN_POSITIVE, f64::INFINITY));
    comes_back(vec![Shape::Dot, Shape::Ring(1), Shape::Line(2, 3), Shape::Slab { wide: 4 }]);
    comes_back(User { id: 1, name: "ä".repeat(100), more: BTreeMap::from([("a".into(), -1)]) });
    comes_back(BTreeMap::from([(1, vec!['x']), (2, vec![])]));
    comes_back((0..100_000u32).collect::<Vec<_>>());
    for len in [INLINE - 3, INLINE - 2, INLINE - 1, INLINE, INLINE + 1, 70_000] {
        comes_back("x".repeat(len));
    }
}

#[test]
fn unsized_data_is_encoded_too() {
    assert_eq!("a".encode().unwrap(), "a".to_owned().encode().unwrap());
    assert_eq!([1, 2][..].encode().unwrap(), (1, 2).encode().unwrap());
}

#[test]
fn no_data_is_null_and_fits_unit_and_option() {
    let null = Payload::null();
    assert_eq!(().encode().unwrap(), null);
    <()>::decode(&null).unwrap();
    assert_eq!(Option::<u8>::decode(&null).unwrap(), None);
}

#[test]
fn raw_bytes_share_their_buffer_from_end_to_end() {
    let bytes = Bytes::new(vec![7; 100_000]);
    let payload = bytes.encode().unwrap();
    assert_eq!(payload.body().as_ptr(), bytes.as_ptr());
    assert_eq!(Bytes::decode(&payload).unwrap().as_ptr(), bytes.as_ptr());
    let received = Arc::new([&[1, 2, 3], &*payload.to_item()].concat());
    let received = Payload::from_shared(Arc::clone(&received), 3..received.len());
    let decoded = Bytes::decode(&received).unwrap();
    assert_eq!(decoded, bytes);
    assert_eq!(decoded.as_ptr(), received.body()[5..].as_ptr());
}

#[test]
fn raw_bytes_of_every_length_of_head_are_one_byte_string() {
    for len in [0, 1, 23, 24, 75, 76, 77, 78, 255, 256, 65_535, 65_536] {
        let bytes = Bytes::new(vec![len as u8; len]);
        let payload = bytes.encode().unwrap();
        let item = payload.to_item();
        assert_eq!(payload.len(), item.len());
        assert_eq!(scan(&item), Ok(()));
        assert_eq!(byte_string(&item), Some(&*bytes));
        assert_eq!(Bytes::decode(&payload).unwrap(), bytes);
        assert_eq!(Bytes::decode(&Payload::from_item_slice(&item)).unwrap(), bytes);
        assert_eq!(Vec::<u8>::decode(&payload).unwrap(), *bytes);
    }
}

#[test]
fn only_byte_strings_are_raw_bytes() {
    for item in [&[0xf6][..], &[0x82, 1, 2], &[0x5f, 0x41, 1, 0xff], &[0x61, b'a'], &[0x41]] {
        assert!(refused::<Bytes>(item).contains("byte string"));
    }
}

#[test]
fn an_encoded_item_is_passed_on_as_it_is() {
    let payload = vec![1; 1_000].encode().unwrap();
    assert_eq!(payload.encode().unwrap().body().as_ptr(), payload.body().as_ptr());
    assert_eq!(Payload::decode(&payload).unwrap(), payload);
    refused::<Payload>(&[0x81]);
}

#[test]
fn what_does_not_fit_is_named() {
    assert!(refused::<u8>(&[0x19, 1, 0]).contains("256"));
    assert!(refused::<String>(&[0x01]).contains("string"));
    assert!(refused::<User>(&[0xa0]).contains("missing field `id`"));
    assert!(refused::<String>(&[0x61, 0xff]).contains("UTF-8"));
    assert!(refused::<u8>(&[0x01, 0x02]).contains("follow"));
    assert!(refused::<bool>(&[0xf8, 0x14]).contains("ill-formed"));
    assert!(
        refused::<u128>(&[0xc2, 0x51, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            .contains("large")
    );
}

#[derive(Deserialize, Debug)]
enum Plain {
    #[allow(dead_code)] // Only serde makes one.
    Ring,
}

#[test]
fn data_that_a_type_leaves_unread_is_refused() {
    assert!(refused::<(u8, u8)>(&[0x83, 1, 2, 3]).contains("unread"));
    assert!(refused::<Vec<(u8, u8)>>(&[0x81, 0x83, 1, 2, 3]).contains("unread"));
    let ring = Shape::Ring(1).encode().unwrap().to_item();
    assert!(refused::<Plain>(&ring).contains("unread"));
}

#[test]
fn what_serde_refuses_to_write_is_named() {
    struct Sullen;
    impl Serialize for Sullen {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    let error = Sullen.encode().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(error.message().contains("Sullen") && error.message().contains("not today"), "{error}");
}

#[derive(Serialize, Deserialize, Debug)]
struct Nest(Option<Box<Nest>>, Vec<Shape>);

#[test]
fn the_deepest_legal_data_is_decoded_on_a_small_stack() {
    let deepest = |levels| {
        (0..levels).fold(Nest(None, vec![]), |inner, _| Nest(Some(Box::new(inner)), vec![]))
    };
    let legal = deepest(PAYLOAD_DEPTH - 2).encode().unwrap();
    let beyond = deepest(PAYLOAD_DEPTH - 1).encode().unwrap();
    let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(move || {
        Nest::decode(&legal).unwrap();
        ciborium::Value::decode(&legal).unwrap();
        assert!(Nest::decode(&beyond).unwrap_err().message().contains("64 levels"));
    });
    thread.unwrap().join().unwrap();
    let variant = [vec![0x81; PAYLOAD_DEPTH], vec![0x63], b"Dot".to_vec()].concat();
    ciborium::Value::decode(&Payload::from_item(variant)).unwrap();
}

type Sample = (User, Shape, Vec<Option<f64>>, u128);

#[test]
fn damaged_data_never_panics() {
    let user = User { id: 300, name: "n".into(), more: BTreeMap::from([("a".into(), -1)]) };
    let sample = (user, Shape::Line(1, 2), vec![Some(0.1)], u128::MAX).encode().unwrap().to_item();
    for len in 0..sample.len() {
        refused::<Sample>(&sample[..len]);
    }
    let mut damaged = sample.clone();
    for at in 0..sample.len() {
        for byte in 0..=255 {
            damaged[at] = byte;
            let payload = Payload::from_item_slice(&damaged);
            let _ = (
                Sample::decode(&payload),
                ciborium::Value::decode(&payload),
                Bytes::decode(&payload),
            );
        }
        damaged[at] = sample[at];
    }
}

#[test]
fn the_data_of_a_handlers_error_is_decoded_on_demand() {
    let plain = Error::new(ErrorKind::Handler, "no");
    assert!(plain.data::<u8>().is_none());
    let item = (1, "x").encode().unwrap().to_item();
    let error = plain.with_handler_code("MINE".into(), Some(item.into()));
    assert_eq!(error.data::<(u8, String)>().unwrap().unwrap(), (1, "x".to_owned()));
    assert_eq!(error.data::<u8>().unwrap().unwrap_err().kind(), ErrorKind::Decode);
}
