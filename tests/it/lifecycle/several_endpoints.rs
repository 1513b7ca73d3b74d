//! Incidents of several endpoints that the collector met in another order than that of their names.

use std::process::Command;

use lab::{Lab, Options, run};

use super::{roster, small, verified, verified_by_strangers};

/// Enrols an endpoint in its next generation. The state of the one before is kept aside.
fn enrol(lab: &mut Lab, endpoint: &str, generation: u32) {
    let token = lab.token(endpoint, &["--generation", &generation.to_string()]).unwrap();
    let state = lab.path(format!("endpoint-{endpoint}"));
    if state.exists() {
        fs_err::rename(&state, lab.path(format!("{endpoint} before {generation}"))).unwrap();
    }
    run(lab.tool("exhibit-agent").args(["enrol", "--token", &token, "--state"]).arg(&state)).unwrap();
}

/// Enrols an endpoint, starts its agent, collects from it under an incident, and stops the agent again.
fn collect_from(lab: &mut Lab, endpoint: &str, generation: u32, incident: &str, profile: &std::path::Path) {
    enrol(lab, endpoint, generation);
    lab.start_agent(endpoint, &[]).unwrap();
    lab.collect(incident, endpoint, profile).unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    lab.stop_agent(endpoint).unwrap();
}

/// The names of the endpoints in a bundle's `allowed_signers`, from top to bottom.
fn endpoint_lines(lab: &Lab, bundle: &str) -> Vec<String> {
    let text = fs_err::read_to_string(lab.path(bundle).join("deployment/allowed_signers")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("endpoint:")?.split(' ').next());
    lines.map(str::to_owned).collect()
}

#[test]
fn bundles_of_endpoints_met_out_of_order_verify_whole_and_in_part() {
    let mut lab = Lab::with(&Options { ipv6: true, ..Options::default() }).unwrap();
    let profile = small(&lab, &[]);
    let (first, second) = (lab.incident().unwrap(), lab.incident().unwrap());
    collect_from(&mut lab, "web-03", 1, &first, &profile);
    enrol(&mut lab, "db-01", 1);
    collect_from(&mut lab, "db-01", 2, &first, &profile);
    collect_from(&mut lab, "mail-07", 1, &second, &profile);
    collect_from(&mut lab, "app-01", 1, &first, &profile);
    for generation in 3..10 {
        enrol(&mut lab, "db-01", generation);
    }
    collect_from(&mut lab, "db-01", 10, &first, &profile);
    collect_from(&mut lab, "app-02", 1, &second, &profile);
    roster(&lab, 2, &["--remove", "bob"]);

    assert_eq!(verified(&lab, &first), 4);
    verified_by_strangers(&lab, &first);
    let lines = endpoint_lines(&lab, &format!("{first}.bundle"));
    assert_eq!(lines, ["app-01#1", "db-01#2", "db-01#10", "web-03#1"]);
    assert_eq!(verified(&lab, &second), 2);
    verified_by_strangers(&lab, &second);
    let lines = endpoint_lines(&lab, &format!("{second}.bundle"));
    assert_eq!(lines, ["app-02#1", "mail-07#1"]);

    // A part of all four collections, in a place that trips shells and tar.
    let part = lab.path("a b/dïr ☃:1");
    fs_err::create_dir_all(part.parent().unwrap()).unwrap();
    let item = lab.path("fixture/file").display().to_string();
    run(lab
        .exhibit()
        .args(["bundle", "export", &first, "--only", &item, "--purpose", "test", "--out"])
        .arg(&part))
    .unwrap();
    let report = lab.verify(&part).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert!(report.partial && report.items.len() == 4, "{}", report.text());
    let script = lab::checkout().join("packaging/verify.py");
    run(Command::new("python3").arg(script).arg(&part).arg(lab.trust().unwrap())).unwrap();
}
