use super::*;
use crate::value;

fn encoded(headers: &Headers) -> Vec<u8> {
    let mut out = Vec::new();
    headers.put(&mut out);
    out
}

fn read(bytes: &[u8]) -> Result<Headers, Malformed> {
    let mut reader = Reader::new(bytes);
    let headers = Headers::read(&mut reader)?;
    reader.finish()?;
    Ok(headers)
}

fn sample() -> Headers {
    let mut headers = Headers::new();
    headers.insert("trace", "abc").unwrap();
    headers.insert("key", Value::Bytes(vec![1, 2])).unwrap();
    headers.insert("n", -5).unwrap();
    headers.insert("m", true).unwrap();
    headers.set_number(300, "later");
    headers.set_number(7, 1);
    headers
}

#[test]
fn empty_headers_are_one_byte_and_no_heap() {
    assert_eq!(encoded(&Headers::new()), [0xa0]);
    assert_eq!(read(&[0xa0]).unwrap(), Headers::new());
    assert!(read(&[0xa0]).unwrap().0.is_none());
    assert_eq!(size_of::<Headers>(), size_of::<usize>());
}

#[test]
fn integer_keys_come_first_and_everything_comes_back() {
    let bytes = encoded(&sample());
    assert_eq!(bytes[..6], [0xa6, 0x07, 0x01, 0x19, 0x01, 0x2c]);
    let headers = read(&bytes).unwrap();
    assert_eq!(headers, sample());
    assert_eq!(encoded(&headers), bytes);
    assert_eq!(headers.number(300).and_then(Value::as_str), Some("later"));
    let keys: Vec<_> = headers.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["m", "n", "key", "trace"]);
    assert_eq!((headers.len(), headers.get_str("trace")), (4, Some("abc")));
}

#[test]
fn damaged_headers_are_refused_or_read_as_what_they_say() {
    let sample = encoded(&sample());
    for len in 0..sample.len() {
        assert!(read(&sample[..len]).is_err());
    }
    let mut damaged = sample.clone();
    for at in 0..sample.len() {
        for byte in 0..=255 {
            damaged[at] = byte;
            if let Ok(headers) = read(&damaged) {
                assert_eq!(encoded(&headers), damaged);
            }
        }
        damaged[at] = sample[at];
    }
}

#[test]
fn keys_out_of_order_or_twice_are_refused() {
    for refused in [
        &[0xa2, 0x02, 0x00, 0x01, 0x00][..],
        &[0xa2, 0x01, 0x00, 0x01, 0x00],
        &[0xa2, 0x61, b'a', 0x00, 0x01, 0x00],
        &[0xa2, 0x61, b'b', 0x00, 0x61, b'a', 0x00],
        &[0xa1, 0x20, 0x00],
    ] {
        assert!(read(refused).is_err(), "{refused:02x?}");
    }
}

#[test]
fn only_plain_values_are_headers() {
    for value in [value!(null), value!(1.5), value!([1]), value!({}), value!(1i128 << 64)] {
        let error = Headers::new().insert("k", value.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let mut bytes = vec![0xa1, 0x61, b'k'];
        value.put(&mut bytes);
        assert!(value.unsendable_integer().is_some() || read(&bytes).is_err(), "{value}");
    }
}

#[test]
fn entries_are_limited_and_a_refused_one_changes_nothing() {
    let mut headers = Headers::new();
    for index in 0..HEADERS_ENTRIES {
        headers.insert(format!("k{index}"), index).unwrap();
        headers.set_number(index as u64, index);
    }
    assert_eq!(read(&encoded(&headers)).unwrap(), headers);
    let error = headers.insert("more", 1).unwrap_err();
    assert!(error.message().contains("32") && error.message().contains("33"), "{error}");
    assert_eq!(headers.insert("k0", "again").unwrap(), Some(Value::from(0)));
    assert_eq!(headers.len(), HEADERS_ENTRIES);
    headers.set_number(99, 1);
    assert_eq!(read(&encoded(&headers)), Err(Malformed("too many headers")));
}

#[test]
fn bytes_are_limited_to_the_byte() {
    let of_size = |size: usize| {
        let mut headers = Headers::new();
        headers.insert("k", "x".repeat(size - 5)).map(|_| headers)
    };
    for size in [HEADERS_BYTES - 1, HEADERS_BYTES] {
        let headers = of_size(size).unwrap();
        assert_eq!(encoded(&headers).len(), size + 1);
        assert_eq!(read(&encoded(&headers)).unwrap(), headers);
    }
    assert_eq!(of_size(HEADERS_BYTES + 1).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let mut bytes = vec![0xa1, 0x61, b'k'];
    cbor::put_text(&mut bytes, &"x".repeat(HEADERS_BYTES - 4));
    assert_eq!(read(&bytes), Err(Malformed("headers have too many bytes")));
}

#[test]
fn unknown_even_numbers_are_found_and_odd_ones_are_not() {
    let mut headers = Headers::new();
    assert_eq!(headers.first_unknown_even(&[]), None);
    headers.set_number(3, 1);
    headers.set_number(4, 1);
    headers.set_number(8, 1);
    assert_eq!(headers.first_unknown_even(&[4]), Some(8));
    assert_eq!(headers.first_unknown_even(&[4, 8]), None);
}

#[test]
fn debug_shows_no_values() {
    assert_eq!(format!("{:?}", sample()), r#"{7, 300, "m", "n", "key", "trace"}"#);
}
