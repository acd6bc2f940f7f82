//! Finds cipher suites by OpenSSL's names, for `tls-ciphers` and `tls-ciphersuites`.

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::ALL_CIPHER_SUITES;

use super::TlsError;

/// The suites to offer: those of TLS 1.3, then those of TLS 1.2, each in the order of its list.
pub(super) fn suites(tls12: &str, tls13: &str) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let mut suites = of_tls13(tls13)?;
    suites.extend(of_tls12(tls12)?);
    Ok(suites)
}

fn all(is_tls13: bool) -> impl Iterator<Item = SupportedCipherSuite> {
    let of_version = move |suite: &&SupportedCipherSuite| suite.tls13().is_some() == is_tls13;
    ALL_CIPHER_SUITES.iter().filter(of_version).copied()
}

/// OpenSSL's name of a suite of TLS 1.3. It equals the standard's name.
fn name_of_tls13(suite: SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    name.replacen("TLS13_", "TLS_", 1)
}

/// OpenSSL's name of a suite of TLS 1.2: `ECDHE-RSA-AES128-GCM-SHA256`.
fn name_of_tls12(suite: SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    name.trim_start_matches("TLS_")
        .replace("_WITH_", "_")
        .replace("AES_128", "AES128")
        .replace("AES_256", "AES256")
        .replace("_POLY1305_SHA256", "_POLY1305")
        .replace('_', "-")
}

/// Parses names separated by colons. Like OpenSSL it refuses an unknown name.
fn of_tls13(list: &str) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    if list.is_empty() {
        return Ok(all(true).collect());
    }
    list.split(':')
        .map(|word| {
            let named = |suite: &SupportedCipherSuite| name_of_tls13(*suite) == word;
            all(true)
                .find(named)
                .ok_or_else(|| refused("tls-ciphersuites", word, name_of_tls13, true))
        })
        .collect()
}

/// Parses a list in OpenSSL's notation: names, groups (`HIGH`, `ECDHE+AESGCM`), and `!` or `-` before those to remove.
/// Like OpenSSL it ignores unknown names, which may be suites of another build, but it refuses an empty result.
fn of_tls12(list: &str) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    if list.is_empty() {
        return Ok(all(false).collect());
    }
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    let mut banned: Vec<SupportedCipherSuite> = Vec::new();
    let words = list.split([':', ',', ' ']);
    for word in words.filter(|word| !word.is_empty() && !word.starts_with('@')) {
        let (sign, group) = match word.as_bytes()[0] {
            sign @ (b'!' | b'-' | b'+') => (sign, &word[1..]),
            _ => (b' ', word),
        };
        let meant: Vec<_> = all(false).filter(|suite| is_in(*suite, group)).collect();
        match sign {
            b' ' => {
                let new = |suite: &SupportedCipherSuite| {
                    !chosen.contains(suite) && !banned.contains(suite)
                };
                let new: Vec<_> = meant.into_iter().filter(new).collect();
                chosen.extend(new);
            }
            b'+' => {
                // `+` moves suites that are chosen already to the end.
                let (moved, stay) = chosen.iter().partition(|suite| meant.contains(suite));
                chosen = stay;
                chosen.extend::<Vec<SupportedCipherSuite>>(moved);
            }
            _ => {
                chosen.retain(|suite| !meant.contains(suite));
                if sign == b'!' {
                    banned.extend(meant);
                }
            }
        }
    }
    if chosen.is_empty() {
        return Err(refused("tls-ciphers", list, name_of_tls12, false));
    }
    Ok(chosen)
}

/// Whether a suite has this name, or belongs to all of the groups that `+` joins.
fn is_in(suite: SupportedCipherSuite, group: &str) -> bool {
    let name = name_of_tls12(suite);
    name == group
        || suite.suite().as_str() == Some(group)
        || group.split('+').all(|part| match part {
            // Every suite here belongs to these groups: all are strong and exchange keys by ephemeral curves.
            "ALL" | "DEFAULT" | "HIGH" | "TLSv1.2" | "ECDHE" | "kECDHE" | "EECDH" | "kEECDH" => {
                true
            }
            "aRSA" | "RSA" => name.contains("-RSA-") && part == "aRSA",
            "aECDSA" | "ECDSA" => name.contains("-ECDSA-"),
            "AES" => name.contains("AES"),
            "AESGCM" => name.contains("GCM"),
            "AES128" | "AES256" | "CHACHA20" | "SHA256" | "SHA384" => name.contains(part),
            _ => false,
        })
}

fn refused(
    directive: &'static str,
    asked: &str,
    name: fn(SupportedCipherSuite) -> String,
    is_tls13: bool,
) -> TlsError {
    let there: Vec<String> = all(is_tls13).map(name).collect();
    TlsError::Value {
        directive,
        source: format!(
            "'{asked}' names no cipher suite that there is; there are {}",
            there.join(", ")
        )
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls12(list: &str) -> Result<Vec<String>, String> {
        let suites = of_tls12(list).map_err(|error| error.to_string())?;
        Ok(suites.into_iter().map(name_of_tls12).collect())
    }

    #[test]
    fn suites_of_tls12_in_openssls_notation() -> Result<(), String> {
        let every = tls12("")?;
        assert_eq!(every.len(), 6);
        assert!(every.contains(&"ECDHE-ECDSA-CHACHA20-POLY1305".to_owned()));
        for all in [
            "DEFAULT",
            "HIGH",
            "ALL:!MEDIUM:!aNULL",
            "DEFAULT:@SECLEVEL=2",
        ] {
            assert_eq!(tls12(all)?, every, "{all}");
        }
        let one = ["ECDHE-RSA-AES128-GCM-SHA256"];
        assert_eq!(tls12(one[0])?, one);
        assert_eq!(tls12("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")?, one);
        assert_eq!(
            tls12("ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256")?,
            one
        );
        assert_eq!(tls12("ECDHE+aRSA+AESGCM+AES128")?, one);
        assert_eq!(tls12("HIGH:!CHACHA20:-AES256:!ECDSA")?, one);
        assert_eq!(tls12("!AES128:ALL:-AES256")?.len(), 2);
        assert_eq!(tls12("AES256:AES128:+AES256")?, tls12("AES128:AES256")?);
        assert!(tls12("NONE").is_err_and(|text| text.contains("there are ECDHE-")));
        assert!(tls12("ALL:!ALL").is_err());
        Ok(())
    }

    #[test]
    fn suites_of_tls13_by_name() -> Result<(), TlsError> {
        let names = |list: &str| -> Result<Vec<String>, TlsError> {
            Ok(of_tls13(list)?.into_iter().map(name_of_tls13).collect())
        };
        assert_eq!(names("")?.len(), 3);
        let list = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
        assert_eq!(names(list)?.join(":"), list);
        let error = names("TLS_AES_128_CCM_SHA256").expect_err("not there");
        assert!(
            error
                .to_string()
                .starts_with("tls-ciphersuites: 'TLS_AES_128_CCM_SHA256' names no")
        );
        Ok(())
    }
}
