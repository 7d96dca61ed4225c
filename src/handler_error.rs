//! How a handler says no: a code, a message and data, which the caller sees exactly as they are.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::payload::{Encode, Payload};

/// What a handler returns instead of an answer. The caller gets an [`Error`] of kind `Handler` with this
/// [code](Error::code), message and [data](Error::data).
///
/// Texts become one with the code `HANDLER_ERROR`. An [`Error`] of this crate becomes one with that error's code, message
/// and data, so `?` after a nested call passes its failure on as it was.
///
/// # Example
/// ```
/// use threadmesh::HandlerError;
///
/// fn charge(cents: i64) -> Result<i64, HandlerError> {
///     if cents > 1_000 {
///         return Err(HandlerError::new("NO_MONEY", "the account is short").with_data(&(cents - 1_000))?);
///     }
///     u32::try_from(cents).map_err(|_| "a charge is not negative")?;
///     Ok(cents)
/// }
/// assert_eq!(charge(2_000).unwrap_err().code(), "NO_MONEY");
/// assert_eq!(charge(-1).unwrap_err().code(), "HANDLER_ERROR");
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct HandlerError(Box<Inner>);

/// Behind a pointer, because every answer of a handler has room for one of these.
#[derive(Clone, PartialEq, Debug)]
struct Inner {
    code: String,
    message: String,
    data: Option<Payload>,
}

impl HandlerError {
    /// An error with a code for programs and a message for people.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { code: code.into(), message: message.into(), data: None }))
    }

    /// The same error, with data for the caller.
    ///
    /// # Errors
    /// `ENCODE` when the data cannot be encoded; `?` makes that the handler's error.
    pub fn with_data(mut self, data: &(impl Encode + ?Sized)) -> Result<Self, Error> {
        self.0.data = Some(data.encode()?);
        Ok(self)
    }

    /// The code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The data, encoded.
    pub fn data(&self) -> Option<&Payload> {
        self.0.data.as_ref()
    }

    /// Code, message and data, as they travel.
    pub(crate) fn into_parts(self) -> (String, String, Option<Payload>) {
        (self.0.code, self.0.message, self.0.data)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

impl std::error::Error for HandlerError {}

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        let mut passed = Self::new(error.code(), error.message());
        passed.0.data = error.data_item().map(|item| Payload::from_item_slice(item));
        passed
    }
}

impl From<String> for HandlerError {
    fn from(message: String) -> Self {
        Self::new(ErrorKind::Handler.code(), message)
    }
}

impl From<&str> for HandlerError {
    fn from(message: &str) -> Self {
        Self::new(ErrorKind::Handler.code(), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(error: impl Into<HandlerError>) -> Result<(), HandlerError> {
        Err(error.into())
    }

    #[test]
    fn texts_become_handler_errors() {
        assert_eq!(fail("no").unwrap_err(), HandlerError::new("HANDLER_ERROR", "no"));
        assert_eq!(fail("no".to_owned()).unwrap_err().to_string(), "HANDLER_ERROR: no");
    }

    #[test]
    fn an_error_of_a_nested_call_is_passed_on_as_it_was() {
        let error = Error::new(ErrorKind::RequestTimeout, "too late");
        assert_eq!(fail(error).unwrap_err(), HandlerError::new("REQUEST_TIMEOUT", "too late"));
        let data = "more".encode().unwrap();
        let nested = Error::new(ErrorKind::Handler, "no")
            .with_handler_code("MINE".to_owned(), Some(data.to_item().into()));
        let (code, message, passed) = HandlerError::from(nested).into_parts();
        assert_eq!((code.as_str(), message.as_str(), passed), ("MINE", "no", Some(data)));
    }

    #[test]
    fn data_goes_along() {
        let error = HandlerError::new("A", "b").with_data(&[1, 2]).unwrap();
        assert_eq!(error.data().map(Payload::to_item), Some(vec![0x82, 1, 2]));
    }
}
