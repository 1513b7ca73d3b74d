//! A client with another TLS library: gRPC for Python, which comes with BoringSSL.

use std::process::Command;

use lab::{Lab, attempt};

use super::python;

#[test]
fn a_python_client_logs_in_and_shakes_hands_with_both_listeners() {
    let Some(python) = python("a_python_client_logs_in_and_shakes_hands_with_both_listeners") else { return };
    let lab = Lab::new().unwrap();
    let server = lab.path("server");
    let addresses: serde_json::Value =
        serde_json::from_slice(&fs_err::read(server.join("run/addresses.json")).unwrap()).unwrap();
    let address = |name| lab::text(&addresses, name).unwrap();
    let (authority, name) = lab::proxy::identity(&server).unwrap();
    let (der, pem) = (lab.path("ca.der"), lab.path("ca.pem"));
    fs_err::write(&der, authority.certificate()).unwrap();
    lab::run(Command::new("openssl").args(["x509", "-inform", "DER", "-in"]).arg(&der).arg("-out").arg(&pem))
        .unwrap();
    let mut command = Command::new(python);
    command
        .arg(lab::checkout().join("tests/it/strangers/shake.py"))
        .arg(lab.path(""))
        .args([address("enrol"), address("collector"), name.deployment.to_string()])
        .arg(pem)
        .arg("alice")
        .arg(lab.path("admin/keys/alice"));
    let output = attempt(&mut command).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("shook hands with both listeners as alice"));
}
