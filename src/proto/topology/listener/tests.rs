use super::*;

fn bound(address: &str) -> (Env<&'static str>, Listener<&'static str>) {
    let (mut env, mut listener) = (Env::of_node("here"), Listener::default());
    listener.bind(&mut env, address.parse().unwrap(), "first");
    (env, listener)
}

fn local() -> SocketAddr {
    "127.0.0.1:7".parse().unwrap()
}

fn tokens(env: &mut Env<&'static str>) -> Vec<(&'static str, bool)> {
    env.take_completed().into_iter().map(|(token, result)| (token, result.is_ok())).collect()
}

#[test]
fn listener_unbound_while_opening_ignores_the_stale_result() {
    let (mut env, mut listener) = bound("127.0.0.1:7");
    listener.close(&mut env);
    assert_eq!(tokens(&mut env), [("first", false)]);
    listener.bind(&mut env, "127.0.0.1:8".parse().unwrap(), "second");
    assert!(!listener.listening(&mut env, Ok(local())), "the result of the first bind");
    assert!(!listener.is_open() && tokens(&mut env).is_empty());
    assert!(listener.listening(&mut env, Ok("127.0.0.1:8".parse().unwrap())));
    assert!(listener.is_at(&"127.0.0.1:8".parse().unwrap()));
    assert_eq!(tokens(&mut env), [("second", true)]);
}

#[test]
fn bind_of_the_same_address_shares_the_result() {
    let (mut env, mut listener) = bound("127.0.0.1:7");
    listener.bind(&mut env, "127.0.0.1:7".parse().unwrap(), "second");
    listener.bind(&mut env, "127.0.0.1:8".parse().unwrap(), "other");
    assert_eq!(tokens(&mut env), [("other", false)]);
    listener.listening(&mut env, Ok(local()));
    listener.bind(&mut env, "127.0.0.1:7".parse().unwrap(), "third");
    assert_eq!(tokens(&mut env), [("first", true), ("second", true), ("third", true)]);
}

#[test]
fn bind_that_fails_leaves_the_listener_closed() {
    let (mut env, mut listener) = bound("127.0.0.1:7");
    assert!(!listener.listening(&mut env, Err("it is in use".to_owned())));
    assert_eq!(tokens(&mut env), [("first", false)]);
    assert!(!listener.is_open());
    listener.bind(&mut env, "127.0.0.1:7".parse().unwrap(), "again");
    assert!(listener.listening(&mut env, Ok(local())));
}

#[test]
fn listener_takes_only_the_addresses_of_its_own_name() {
    let (mut env, mut listener) = bound("here.example:7");
    let Some(Output::Resolve { query, .. }) = env.out.pop() else { panic!("a name is resolved") };
    let other = env.draw_query();
    assert_eq!(listener.resolved(&mut env, other, Ok(vec![local()])), Some(Ok(vec![local()])));
    assert_eq!(listener.resolved(&mut env, query, Ok(vec![local()])), None);
    assert!(matches!(env.out.pop(), Some(Output::Listen { addrs }) if addrs == [local()]));
    assert!(listener.listening(&mut env, Ok(local())));
    for address in ["here.example:7", "127.0.0.1:7"] {
        assert!(listener.is_at(&address.parse().unwrap()), "{address}");
    }
}

#[test]
fn listener_on_every_address_is_advertised_where_the_link_reaches_it() {
    let (mut env, mut listener) = bound("0.0.0.0:0");
    let here: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    assert_eq!(env.advertised(Some(here)), None, "it is not open yet");
    listener.listening(&mut env, Ok("0.0.0.0:7".parse().unwrap()));
    let expected: Address = "192.0.2.1:7".parse().unwrap();
    assert_eq!(env.advertised(Some(here)), Some(expected));
    let said: Address = "here.example:9".parse().unwrap();
    env.local.advertise = Some(said.clone());
    assert_eq!(env.advertised(Some(here)), Some(said));
}
