//! An attacker with the key of an authority.

use certs::identity::Credentials;
use certs::key::TlsKey;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    SignatureAlgorithm,
};
use rustls::pki_types::CertificateDer;

/// An authority that certifies whatever is asked, as an attacker with the key of one would.
pub struct Crafty {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: CertificateDer<'static>,
}

impl Crafty {
    pub fn new() -> Self {
        Self::of(&rcgen::PKCS_ECDSA_P256_SHA256)
    }

    /// With a key of another algorithm. Its leaves have keys of P-256.
    pub fn of(algorithm: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Exhibit authority of acme");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub fn server(&self, uris: &[&str], dns: Option<&str>) -> Credentials {
        self.certify(uris, dns, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub fn client(&self, uris: &[&str], dns: Option<&str>) -> Credentials {
        self.certify(uris, dns, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn certify(&self, uris: &[&str], dns: Option<&str>, usage: ExtendedKeyUsagePurpose) -> Credentials {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.subject_alt_names.extend(dns.map(|name| SanType::DnsName(name.try_into().unwrap())));
        params.extended_key_usages = vec![usage];
        params.serial_number = Some(vec![7; 16].into());
        let leaf = params.signed_by(&pair, &self.issuer).unwrap().der().clone();
        Credentials {
            key: TlsKey::from_pkcs8(pair.serialized_der()).unwrap(),
            chain: vec![leaf, self.certificate.clone()],
        }
    }
}
