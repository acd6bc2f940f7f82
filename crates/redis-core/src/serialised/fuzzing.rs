//! For the fuzz target and the integration tests, which see public items only. Nothing else may use this.

/// A body with the right version and checksum.
pub fn closed(body: &[u8]) -> Vec<u8> {
    let mut payload = body.to_vec();
    super::close(&mut payload);
    payload
}
