//! `value!`: values as they are written down.

/// Builds a [`Value`](crate::Value) as it would be written in JSON, with Rust expressions where values stand.
///
/// `null`, `[…]` and `{ key: value }` nest; anything else is an expression of a type that becomes a value (`From`). A key is
/// a literal, a name, or an expression in parentheses. A block of code goes in parentheses too, as braces mean a map.
///
/// # Example
/// ```
/// use threadmesh::value;
///
/// let cores = 4;
/// let shown = value!({ "cores": cores * 2, "tags": ["x", null], ("k".to_owned() + "ey"): { "a": true } }).to_string();
/// assert_eq!(shown, r#"{"key": {"a": true}, "tags": ["x", null], "cores": 8}"#);
/// ```
#[macro_export]
macro_rules! value {
    (null) => { $crate::Value::Null };
    ([ $($inner:tt)* ]) => { $crate::Value::Array($crate::__array!([] $($inner)*)) };
    ({ $($inner:tt)* }) => { $crate::Value::Map($crate::__map!([] $($inner)*)) };
    ($value:expr) => { $crate::Value::from($value) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __array {
    ([ $($done:tt)* ]) => { ::std::vec![ $($done)* ] };
    ([ $($done:tt)* ] null $(, $($rest:tt)*)?) => {
        $crate::__array!([ $($done)* $crate::value!(null), ] $($($rest)*)?)
    };
    ([ $($done:tt)* ] [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $crate::__array!([ $($done)* $crate::value!([ $($inner)* ]), ] $($($rest)*)?)
    };
    ([ $($done:tt)* ] { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $crate::__array!([ $($done)* $crate::value!({ $($inner)* }), ] $($($rest)*)?)
    };
    ([ $($done:tt)* ] $value:expr $(, $($rest:tt)*)?) => {
        $crate::__array!([ $($done)* $crate::value!($value), ] $($($rest)*)?)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __map {
    ([ $($done:tt)* ]) => {
        <$crate::Map as ::std::iter::FromIterator<_>>::from_iter([ $($done)* ])
    };
    ([ $($done:tt)* ] $key:tt : null $(, $($rest:tt)*)?) => {
        $crate::__map!([ $($done)* $crate::__entry!($key, null), ] $($($rest)*)?)
    };
    ([ $($done:tt)* ] $key:tt : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $crate::__map!([ $($done)* $crate::__entry!($key, [ $($inner)* ]), ] $($($rest)*)?)
    };
    ([ $($done:tt)* ] $key:tt : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $crate::__map!([ $($done)* $crate::__entry!($key, { $($inner)* }), ] $($($rest)*)?)
    };
    ([ $($done:tt)* ] $key:tt : $value:expr $(, $($rest:tt)*)?) => {
        $crate::__map!([ $($done)* $crate::__entry!($key, $value), ] $($($rest)*)?)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __entry {
    (($key:expr), $($value:tt)*) => { (::std::string::String::from($key), $crate::value!($($value)*)) };
    ($key:tt, $($value:tt)*) => { (::std::string::String::from($key), $crate::value!($($value)*)) };
}
