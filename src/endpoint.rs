//! An event name that knows its types, and what else may stand where an event name is wanted.

use std::fmt;
use std::marker::PhantomData;

use crate::error::Error;
use crate::event::EventName;

/// An event name with the type of its data and the type of its answer, for both sides: a constant that the program that
/// handles and the program that calls share. What does not fit does not compile.
///
/// It stands wherever an event name or an exact pattern does. A tick has no answer, so its endpoint is an `Endpoint<Data>`. The name is
/// taken as it is, also with a `*` in it, and checked when it is used: `INVALID_EVENT`.
///
/// # Example
/// ```
/// use serde::{Deserialize, Serialize};
/// use threadmesh::{Endpoint, HandlerError, Node};
///
/// #[derive(Serialize, Deserialize)]
/// struct Charge {
///     cents: u64,
/// }
///
/// const CHARGE: Endpoint<Charge, String> = Endpoint::new("payment:charge");
///
/// let server = Node::builder().id("bank").bind("127.0.0.1:0").start()?;
/// server.on_request(CHARGE, |request| Ok(format!("{} cents", request.data.cents)))?;
///
/// let client = Node::builder().start()?;
/// client.connect(server.local_addr()?)?;
/// let receipt = client.request("bank", CHARGE, &Charge { cents: 5 })?;
/// assert_eq!(receipt, "5 cents");
/// # Ok::<(), threadmesh::Error>(())
/// ```
///
/// Data of another type is an error of the compiler, on the side that calls:
/// ```compile_fail,E0308
/// # use threadmesh::{Endpoint, Handle};
/// const DOUBLE: Endpoint<u32, u64> = Endpoint::new("double");
/// fn ask(node: &Handle) -> Result<u64, threadmesh::Error> {
///     node.request("math", DOUBLE, "a text")
/// }
/// ```
/// and an answer of another type on the side that handles:
/// ```compile_fail,E0271
/// # use threadmesh::{Endpoint, Handle, Request};
/// const DOUBLE: Endpoint<u32, u64> = Endpoint::new("double");
/// fn serve(node: &Handle) -> Result<(), threadmesh::Error> {
///     node.on_request(DOUBLE, |request: Request<u32>| Ok("a text")).map(drop)
/// }
/// ```
pub struct Endpoint<Data, Answer = ()> {
    name: &'static str,
    types: PhantomData<fn(Data) -> Answer>,
}

impl<D, T> Endpoint<D, T> {
    /// The endpoint of that name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// The name of the event.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<D, T> Clone for Endpoint<D, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D, T> Copy for Endpoint<D, T> {}

impl<D, T> fmt::Debug for Endpoint<D, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({:?})", self.name)
    }
}

impl<D, T> TryFrom<Endpoint<D, T>> for EventName {
    type Error = Error;

    fn try_from(endpoint: Endpoint<D, T>) -> Result<Self, Error> {
        Self::new(endpoint.name)
    }
}

/// What may stand where a call wants an event name: a text or an [`EventName`], which go with any types, or an [`Endpoint`],
/// which goes with its own: data of type `D`, an answer of type `T`.
pub trait IntoEvent<D: ?Sized, T>: TryInto<EventName, Error: Into<Error>> {}

impl<D: ?Sized, T> IntoEvent<D, T> for &str {}
impl<D: ?Sized, T> IntoEvent<D, T> for &String {}
impl<D: ?Sized, T> IntoEvent<D, T> for EventName {}
impl<D, T> IntoEvent<D, T> for Endpoint<D, T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_name_of_an_endpoint_is_checked_when_it_is_used() {
        let _bound = crate::bound::bound();
        let good = Endpoint::<u32, String>::new("a*");
        assert_eq!(EventName::try_from(good).unwrap().as_str(), good.name());
        let bad = EventName::try_from(Endpoint::<(), ()>::new("_system:x"));
        assert_eq!(bad.unwrap_err().kind(), ErrorKind::InvalidEvent);
    }
}
