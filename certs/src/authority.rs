//! The deployment's certificate authority: a P-256 key, its certificate, and the one way to issue a leaf.
//!
//! Guarantee: a leaf says exactly what [`certificate::Leaf`](crate::certificate::Leaf) reads back. Its kind determines its
//! permitted uses. It takes nothing from a request but the key. Not here: who may have one (server);
//! what a thief of this key can do (docs/threat-model.md: name endpoints, but order nothing).

use std::path::Path;
use std::time::Duration;

use evidence::id::DeploymentId;
use evidence::time::Time;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::COLLECTOR_NAME;
use crate::certificate::Serial;
use crate::identity::{Credentials, IdentityError};
use crate::key::{TlsKey, TlsKeyError, TlsPublicKey};
use crate::name::{Identity, Kind};

/// Life of the authority's certificate: 10 years. If it is lost or expires, every endpoint must enrol again.
pub(crate) const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * 86_400);
/// Life of an endpoint's certificate: 90 days, renewed at half.
pub const ENDPOINT_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// How long after its expiry an endpoint's certificate may still be renewed.
pub const ENDPOINT_GRACE: Duration = Duration::from_secs(90 * 86_400);
/// Life of a collector's or mirror's certificate: 1 year.
pub const COLLECTOR_LIFE: Duration = Duration::from_secs(365 * 86_400);
/// Life of a person's certificate, from login: 12 hours.
pub const PERSON_LIFE: Duration = Duration::from_secs(12 * 3600);

/// How long before its issue a certificate becomes valid, for peers whose clocks are behind: 1 hour.
const BACKDATE: Duration = Duration::from_secs(3600);

/// The authority of one deployment.
pub struct Authority {
    deployment: DeploymentId,
    certificate: CertificateDer<'static>,
    key: TlsKey,
    not_after: Time,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The leaf, DER.
    pub certificate: Vec<u8>,
    /// Its serial number.
    pub serial: Serial,
    /// Until when it holds.
    pub not_after: Time,
}

/// Why the authority could not be made, read or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// Key, random bytes or encoding.
    #[error("make a key or certificate")]
    Key(#[from] TlsKeyError),
    /// The library refused.
    #[error("write a certificate")]
    Library(#[from] rcgen::Error),
    /// The authority's file.
    #[error("the authority's key and certificate")]
    File(#[from] IdentityError),
    /// The file does not hold the authority of this deployment.
    #[error("{path} does not hold the authority of deployment {deployment}: {cause}")]
    Foreign {
        path: String,
        /// The deployment asked for.
        deployment: DeploymentId,
        cause: &'static str,
    },
    /// An identity of another deployment.
    #[error("authority of {ours} asked to certify {identity}")]
    Deployment {
        /// The deployment of this authority.
        ours: DeploymentId,
        /// The identity to certify.
        identity: Identity,
    },
    /// The time is beyond what certificates can hold, or the authority's certificate has expired.
    #[error("no certificate can hold from {from}: the authority's own ends at {end}")]
    Ended {
        /// Start asked for.
        from: Time,
        /// The authority's end.
        end: Time,
    },
}

impl Authority {
    /// A fresh authority.
    pub fn create(deployment: DeploymentId, now: Time) -> Result<Self, AuthorityError> {
        let key = TlsKey::generate()?;
        // No certificate can name a later end than the year 9999 (RFC 5280 section 4.1.2.5).
        let not_after = now.checked_add(AUTHORITY_LIFE).unwrap_or(Time::MAX);
        let mut params = params(now.checked_sub(BACKDATE).unwrap_or(Time::EPOCH), not_after)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial()?.0));
        params.distinguished_name.push(DnType::CommonName, common_name(&deployment));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key.key_pair()?)?.der().clone();
        Ok(Self { deployment, certificate, key, not_after })
    }

    /// Writes key and certificate to a new file (0600).
    pub fn save(&self, path: &Path) -> Result<(), AuthorityError> {
        Ok(Credentials::write_new(path, &self.key, std::slice::from_ref(&self.certificate))?)
    }

    /// Reads what [`Authority::save`] wrote.
    pub fn load(path: &Path, deployment: DeploymentId) -> Result<Self, AuthorityError> {
        let credentials = Credentials::load(path)?;
        let foreign = |deployment: &DeploymentId, cause| AuthorityError::Foreign {
            path: path.display().to_string(),
            deployment: deployment.clone(),
            cause,
        };
        let [certificate] = <[CertificateDer<'static>; 1]>::try_from(credentials.chain)
            .or(Err(foreign(&deployment, "not exactly one certificate")))?;
        let not_after = check(&certificate, &deployment, &credentials.key)
            .map_err(|cause| foreign(&deployment, cause))?;
        Ok(Self { deployment, certificate, key: credentials.key, not_after })
    }

    /// The deployment of the authority.
    #[must_use]
    pub const fn deployment(&self) -> &DeploymentId {
        &self.deployment
    }

    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of its certificate (DER), as tokens pin it.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.certificate).into()
    }

    /// Issues a leaf for `identity` with `key`, never beyond the authority's own end.
    pub fn issue(
        &self,
        key: &TlsPublicKey,
        identity: &Identity,
        life: Duration,
        now: Time,
    ) -> Result<Issued, AuthorityError> {
        if identity.deployment != self.deployment {
            return Err(AuthorityError::Deployment {
                ours: self.deployment.clone(),
                identity: identity.clone(),
            });
        }
        if now >= self.not_after {
            return Err(AuthorityError::Ended { from: now, end: self.not_after });
        }
        // Whatever `life` is, the certificate ends with its authority.
        let not_after = whole_second(now.checked_add(life).unwrap_or(Time::MAX).min(self.not_after));
        let serial = serial()?;
        let mut params = params(now.checked_sub(BACKDATE).unwrap_or(Time::EPOCH), not_after)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial.0));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        // For people who look at it with other tools. Nothing of ours reads the subject.
        params.distinguished_name.push(DnType::CommonName, identity.subject.id());
        params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into()?)];
        match identity.subject.kind() {
            Kind::Collector => {
                params.subject_alt_names.push(SanType::DnsName(COLLECTOR_NAME.try_into()?));
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
            Kind::Endpoint | Kind::Mirror | Kind::Person => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
        }
        let issuer: Issuer<'_, KeyPair> = Issuer::from_ca_cert_der(&self.certificate, self.key.key_pair()?)?;
        let certificate = params.signed_by(&SubjectPublicKeyInfo::from_der(&key.spki())?, &issuer)?;
        Ok(Issued { certificate: certificate.der().to_vec(), serial, not_after })
    }

    /// The chain that a peer shows: `issued`, then the authority.
    #[must_use]
    pub fn chain(&self, issued: &Issued) -> Vec<CertificateDer<'static>> {
        vec![issued.certificate.clone().into(), self.certificate.clone()]
    }
}

fn common_name(deployment: &DeploymentId) -> String {
    format!("Exhibit authority of {deployment}")
}

fn params(not_before: Time, not_after: Time) -> Result<CertificateParams, AuthorityError> {
    let at = |time: Time| {
        let ended = AuthorityError::Ended { from: not_before, end: not_after };
        let seconds = i64::try_from(time.unix_seconds()).ok();
        let asn1 = seconds.and_then(|seconds| ASN1Time::from_timestamp(seconds).ok()).ok_or(ended)?;
        Ok::<_, AuthorityError>(asn1.to_datetime())
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = at(not_before)?;
    params.not_after = at(not_after)?;
    Ok(params)
}

/// Certificates count seconds; what we report must be what they say.
fn whole_second(time: Time) -> Time {
    time.checked_sub(Duration::from_millis(time.unix_ms() % 1000)).unwrap_or(time)
}

fn serial() -> Result<Serial, TlsKeyError> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial)?;
    Ok(Serial(serial))
}

/// The end of `certificate`'s validity when it is `deployment`'s and `key`'s.
fn check(der: &CertificateDer<'_>, deployment: &DeploymentId, key: &TlsKey) -> Result<Time, &'static str> {
    let (rest, certificate) = X509Certificate::from_der(der).or(Err("not a certificate"))?;
    if !rest.is_empty() || !certificate.is_ca() {
        return Err("not an authority's certificate");
    }
    let mut names = certificate.subject().iter_common_name();
    let name = names.next().and_then(|name| name.as_str().ok());
    if name != Some(common_name(deployment).as_str()) || names.next().is_some() {
        return Err("it names another deployment");
    }
    if certificate.public_key().raw != key.public().spki() {
        return Err("key and certificate do not belong together");
    }
    let end = u64::try_from(certificate.validity().not_after.timestamp()).ok();
    end.and_then(|end| end.checked_mul(1000)).and_then(Time::from_unix_ms).ok_or("its end is out of range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Leaf;

    fn now() -> Time {
        "2026-08-20T10:00:00.123Z".parse().unwrap()
    }

    fn authority() -> Authority {
        Authority::create("acme".parse().unwrap(), now()).unwrap()
    }

    #[test]
    fn a_leaf_reads_back_as_it_was_issued() {
        let authority = authority();
        let key = TlsKey::generate().unwrap();
        for (name, life) in [
            ("exhibit://acme/endpoint/web-03/7", ENDPOINT_LIFE),
            ("exhibit://acme/collector/c1", COLLECTOR_LIFE),
            ("exhibit://acme/mirror/m1", COLLECTOR_LIFE),
            ("exhibit://acme/person/ada", PERSON_LIFE),
        ] {
            let identity: Identity = name.parse().unwrap();
            let issued = authority.issue(&key.public(), &identity, life, now()).unwrap();
            let leaf = Leaf::parse(&issued.certificate).unwrap();
            assert_eq!(leaf.identity, identity);
            assert_eq!((leaf.serial, leaf.not_after), (issued.serial, issued.not_after));
            assert_eq!(leaf.key, key.public());
            assert_eq!(leaf.not_after.since(now()).as_secs(), life.as_secs() - 1);
            assert!(leaf.not_before < now());
        }
    }

    #[test]
    fn no_leaf_outlives_the_authority_or_names_another_deployment() {
        let authority = authority();
        let key = TlsKey::generate().unwrap().public();
        let ada: Identity = "exhibit://acme/person/ada".parse().unwrap();
        let late = now().checked_add(AUTHORITY_LIFE - Duration::from_secs(10)).unwrap();
        let issued = authority.issue(&key, &ada, PERSON_LIFE, late).unwrap();
        assert!(issued.not_after.since(late) <= Duration::from_secs(10));
        let after = now().checked_add(AUTHORITY_LIFE).unwrap();
        assert!(matches!(authority.issue(&key, &ada, PERSON_LIFE, after), Err(AuthorityError::Ended { .. })));
        let foreign = "exhibit://other/person/ada".parse().unwrap();
        assert!(matches!(
            authority.issue(&key, &foreign, PERSON_LIFE, now()),
            Err(AuthorityError::Deployment { .. })
        ));
    }

    #[test]
    fn the_authority_survives_its_file_and_no_other_deployment_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authority.pem");
        let authority = authority();
        authority.save(&path).unwrap();
        assert!(authority.save(&path).is_err(), "an authority is never overwritten");
        let again = Authority::load(&path, "acme".parse().unwrap()).unwrap();
        assert_eq!(again.fingerprint(), authority.fingerprint());
        let ada = "exhibit://acme/person/ada".parse().unwrap();
        again.issue(&TlsKey::generate().unwrap().public(), &ada, PERSON_LIFE, now()).unwrap();
        assert!(matches!(
            Authority::load(&path, "other".parse().unwrap()),
            Err(AuthorityError::Foreign { cause: "it names another deployment", .. })
        ));
        let mixed = dir.path().join("mixed.pem");
        Credentials::write_new(
            &mixed,
            &TlsKey::generate().unwrap(),
            std::slice::from_ref(&authority.certificate),
        )
        .unwrap();
        assert!(matches!(
            Authority::load(&mixed, "acme".parse().unwrap()),
            Err(AuthorityError::Foreign { cause: "key and certificate do not belong together", .. })
        ));
    }

    #[test]
    fn openssl_reads_the_same_names_and_uses() {
        let dir = tempfile::tempdir().unwrap();
        let authority = authority();
        let identity = "exhibit://acme/collector/c1".parse().unwrap();
        let key = TlsKey::generate().unwrap().public();
        let issued = authority.issue(&key, &identity, COLLECTOR_LIFE, now()).unwrap();
        let (leaf, ca) = (dir.path().join("leaf.der"), dir.path().join("ca.der"));
        fs_err::write(&leaf, &issued.certificate).unwrap();
        fs_err::write(&ca, authority.certificate()).unwrap();
        let text = openssl(&["x509", "-inform", "DER", "-noout", "-text", "-in", leaf.to_str().unwrap()]);
        for expected in [
            "URI:exhibit://acme/collector/c1, DNS:collector.exhibit.invalid",
            "TLS Web Server Authentication",
            "CA:FALSE",
            "Digital Signature",
            "Issuer: CN = Exhibit authority of acme",
            "Public Key Algorithm: id-ecPublicKey",
            "ASN1 OID: prime256v1",
            "Signature Algorithm: ecdsa-with-SHA256",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        let text = openssl(&["x509", "-inform", "DER", "-noout", "-text", "-in", ca.to_str().unwrap()]);
        assert!(text.contains("CA:TRUE, pathlen:0") && text.contains("Certificate Sign, CRL Sign"), "{text}");
    }

    fn openssl(args: &[&str]) -> String {
        let output = std::process::Command::new("openssl").args(args).output().expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}
