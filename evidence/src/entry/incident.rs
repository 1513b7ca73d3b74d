//! The fields of `incident.opened` (docs/spec/ledger.md).

use crate::text::words::words;

words! {
    /// How bad an incident is.
    Severity of "a severity" {
        Low = "low",
        Medium = "medium",
        High = "high",
        VeryHigh = "very-high",
    }
}

words! {
    /// Who may be told: the Traffic Light Protocol 2.0 of FIRST.
    Tlp of "a traffic light" {
        /// Everybody.
        Clear = "clear",
        /// The community.
        Green = "green",
        /// The organisation and its clients.
        Amber = "amber",
        /// The organisation.
        AmberStrict = "amber-strict",
        /// Those in the room.
        Red = "red",
    }
}

words! {
    /// Classes of the Reference Security Incident Taxonomy (ENISA, TF-CSIRT), in our spelling.
    RsitClass of "an RSIT class" {
        AbusiveContent = "abusive-content",
        MaliciousCode = "malicious-code",
        InformationGathering = "information-gathering",
        IntrusionAttempts = "intrusion-attempts",
        Intrusions = "intrusions",
        Availability = "availability",
        InformationContentSecurity = "information-content-security",
        Fraud = "fraud",
        Vulnerable = "vulnerable",
        Other = "other",
        Test = "test",
    }
}
