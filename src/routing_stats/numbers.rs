//! Times as plain numbers, for serde. A number that is no time (negative, infinite, `NaN`, too large) is refused.

use std::time::Duration;

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time, or one that there may be.
pub(super) trait Time: Copy {
    type Number: Serialize + DeserializeOwned;

    /// As a multiple of `unit`, which is in nanoseconds.
    fn number(self, unit: f64) -> Self::Number;

    fn of<E: de::Error>(number: Self::Number, unit: f64) -> Result<Self, E>;
}

impl Time for Duration {
    type Number = f64;

    /// One division of whole nanoseconds, so that 18.3 ms are 18.3 and not a digit more.
    fn number(self, unit: f64) -> f64 {
        self.as_nanos() as f64 / unit
    }

    fn of<E: de::Error>(number: f64, unit: f64) -> Result<Self, E> {
        Self::try_from_secs_f64(number * unit / 1e9).map_err(E::custom)
    }
}

impl Time for Option<Duration> {
    type Number = Option<f64>;

    fn number(self, unit: f64) -> Option<f64> {
        self.map(|time| time.number(unit))
    }

    fn of<E: de::Error>(number: Option<f64>, unit: f64) -> Result<Self, E> {
        number.map(|number| Duration::of(number, unit)).transpose()
    }
}

/// As seconds.
pub(super) mod seconds {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Time};

    const NANOS: f64 = 1e9;

    pub(crate) fn serialize<T: Time, S: Serializer>(time: &T, to: S) -> Result<S::Ok, S::Error> {
        time.number(NANOS).serialize(to)
    }

    pub(crate) fn deserialize<'de, T: Time, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        T::of(T::Number::deserialize(from)?, NANOS)
    }
}

/// As milliseconds.
pub(super) mod milliseconds {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Time};

    const NANOS: f64 = 1e6;

    pub(crate) fn serialize<T: Time, S: Serializer>(time: &T, to: S) -> Result<S::Ok, S::Error> {
        time.number(NANOS).serialize(to)
    }

    pub(crate) fn deserialize<'de, T: Time, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        T::of(T::Number::deserialize(from)?, NANOS)
    }
}
