//! For the fuzz target and the integration tests, which see only public items. Nothing else may use this.

/// A payload: the body, followed by the right version and checksum.
pub fn closed(body: &[u8]) -> Vec<u8> {
    let mut payload = body.to_vec();
    super::close(&mut payload, super::Release::Redis70.version());
    payload
}
