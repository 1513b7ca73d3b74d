//! `roster-*`, `login-*`, `endpoint-*`, `order-*`: forged documents of people and endpoints.

use evidence::digest::Digest;
use evidence::enrolment::{EnrolmentRequest, Login, Renewal, RenewalType, Token};
use evidence::entry::EntryType;
use evidence::id::{Chain, Generation};
use evidence::order::{Approval, Decision, Sensitivity};
use evidence::text::FixedBytes;
use testkit::bundles::*;

use crate::world::*;

fn generation(number: u32) -> Generation {
    Generation::new(number).unwrap()
}

/// A renewal of web-03 with sixteen times that byte as its nonce, signed by the keys.
fn renewed(number: u32, nonce: u8, keys: &[u8]) -> Draft {
    let renewal = Renewal {
        type_: RenewalType,
        deployment: "acme".parse().unwrap(),
        endpoint: "web-03".parse().unwrap(),
        generation: generation(number),
        csr_sha256: Digest([2; 32]),
        tls_spki_sha256: Digest([51; 32]),
        nonce: FixedBytes([nonce; 16]),
        at: at("08:40:00"),
    };
    let refs = [("endpoint", "web-03".to_owned()), ("generation", number.to_string())];
    Draft::new(EntryType::AgentRenewed, Chain::Deployment, "08:40:01", refs, |_| sign(&renewal, keys).into())
}

/// A second enrolment of web-03, and its draft.
fn enrolled_again(drafts: &[Draft], token: &Token, token_sha256: Digest) -> Draft {
    let first: EnrolmentRequest = drafts[ENROLLED].act.read().unwrap();
    let request = EnrolmentRequest {
        token: token_sha256,
        generation: token.generation,
        nonce: FixedBytes([9; 16]),
        evidence_key: key(90).public(),
        tls_spki_sha256: Digest([91; 32]),
        ..first
    };
    let refs = [
        ("endpoint", "web-03".to_owned()),
        ("generation", token.generation.to_string()),
        ("token", token_sha256.to_string()),
        ("evidence_key", key(90).public().fingerprint().to_string()),
    ];
    Draft::new(EntryType::AgentEnrolled, Chain::Deployment, "08:30:00", refs, |_| {
        sign(&request, &[TOKEN, 90]).into()
    })
}

/// A retirement of web-03 in its first generation.
pub fn retired(time: &str) -> Draft {
    let refs = [("endpoint", "web-03".to_owned()), ("generation", "1".to_owned())];
    Draft::new(EntryType::EndpointRetired, Chain::Deployment, time, refs, |draft| {
        draft.signed("person:cat", CAT)
    })
}

/// A decision of bob about the order.
pub fn decided(drafts: &[Draft], decision: Decision, time: &str) -> Draft {
    let order = drafts[ISSUED].act.event();
    let approval = Approval { decision, ..testkit::orders::approval(order, at("09:40:00")) };
    let type_ = match decision {
        Decision::Approve => EntryType::OrderApproved,
        Decision::Reject => EntryType::OrderRejected,
    };
    Draft::new(type_, incident(), time, [("order", order.to_string())], |_| sign(&approval, &[BOB]).into())
}

fn second_roster(recipe: &mut Recipe<'static>, change: fn(&mut Paper<evidence::roster::Roster>)) {
    recipe.roster = Box::new(move |paper| {
        if paper.document.version == 2 {
            change(paper);
        }
    });
}

/// The collector records that an endpoint refused an order.
fn refused(chain: Chain, order: Digest, reason: &str) -> Draft {
    let refs =
        [("endpoint", "web-03".to_owned()), ("order", order.to_string()), ("reason", reason.to_owned())];
    Draft::new(EntryType::OrderRefused, chain, "11:40:00", refs, |draft| own(&draft.act_by("collector:c1")))
}

forgeries! {
    roster_1_a_life_of_a_hundred_days: Roster1 "invalid document: a roster lives at most 90 days", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let act = &drafts[SECOND_ROSTER].act;
            let times = ("\"not_after\":\"2027-01-20", "\"not_after\":\"2027-03-20");
            let act = edited(act, "exhibit-roster-v1", &[AUTHORITY], times);
            let digest = act.event().to_string();
            set(&mut drafts[SECOND_ROSTER], "roster", &digest);
            drafts[SECOND_ROSTER].act = act;
        });
    }
    roster_2_signed_by_a_stranger: Roster2 "0 of the 1 authority signatures it needs", |recipe| {
        second_roster(recipe, |paper| paper.keys = vec![MALLORY]);
    }
    roster_3_a_second_of_one_version: Roster3 "roster 1 was published before, or a newer one", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let other = evidence::roster::Roster { issued: at("08:00:01"), ..first_roster() };
            drafts[SECOND_ROSTER] = published(&sign(&other, &[AUTHORITY]), 1, "09:00:01");
        });
    }
    roster_4_a_version_is_left_out: Roster4 "roster 3 where the one after 1 follows", |recipe| {
        second_roster(recipe, |paper| paper.document.version = 3);
        recipe.drafts = Box::new(|drafts| set(&mut drafts[SECOND_ROSTER], "version", "3"));
    }
    roster_5_names_another_before: Roster5 "roster 2 does not name the roster before it", |recipe| {
        second_roster(recipe, |paper| paper.document.previous = Some(Digest::ZERO));
    }
    roster_6_another_version_than_its_own: Roster6 "it names another version than its act", |recipe| {
        recipe.drafts = Box::new(|drafts| set(&mut drafts[SECOND_ROSTER], "version", "3"));
    }
    login_1_signed_by_another_person:
        Login1 "login is not signed by a roster key of the person", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let login: Login = drafts[LOGIN].act.read().unwrap();
            drafts[LOGIN].act = sign(&login, &[BOB]).into();
            let print = key(BOB).public().fingerprint().to_string();
            set(&mut drafts[LOGIN], "key", &print);
        });
    }
    login_2_another_person_than_its_own: Login2 "it names another person than its act", |recipe| {
        recipe.drafts = Box::new(|drafts| set(&mut drafts[LOGIN], "person", "bob"));
    }
    endpoint_1_a_life_of_a_month: Endpoint1 "invalid document: a token lives at most 7 days", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let times = ("\"not_after\":\"2026-11-21", "\"not_after\":\"2026-12-21");
            let act = edited(&drafts[ADMITTED].act, "exhibit-token-v1", &[CAT], times);
            let digest = act.event().to_string();
            set(&mut drafts[ADMITTED], "token", &digest);
            drafts[ADMITTED].act = act;
        });
    }
    endpoint_2_by_somebody_who_is_no_endpoint_admin:
        Endpoint2 "signed by SHA256:B47H2BUWfYy5TIFDDtSmLfq8hrmESVKHAkXGZVLVM3c, no key of alice as endpoint-admin then", |recipe| {
        recipe.token = Box::new(|paper| {
            paper.document.issuer = "alice".parse().unwrap();
            paper.keys = vec![ALICE];
        });
    }
    endpoint_3_another_generation_than_its_own: Endpoint3 "it names another generation than its act", |recipe| {
        recipe.drafts = Box::new(|drafts| set(&mut drafts[ADMITTED], "generation", "2"));
    }
    endpoint_4_another_authority: Endpoint4 "its authority set is not that of the deployment", |recipe| {
        recipe.token = Box::new(|paper| paper.document.authority = Digest::ZERO);
    }
    endpoint_4_another_ca: Endpoint4 "its CA certificate is not that of the deployment", |recipe| {
        recipe.token = Box::new(|paper| paper.document.ca_sha256 = Digest::ZERO);
    }
    endpoint_4_another_log: Endpoint4 "its log key is not that of the deployment", |recipe| {
        recipe.token = Box::new(|paper| {
            paper.document.log_key = log_key(41, "exhibit/acme").parse().unwrap();
        });
    }
    endpoint_8_a_token_that_was_never_admitted: Endpoint8 "its token was never admitted", |recipe| {
        recipe.drafts = Box::new(|drafts| drop(drafts.remove(ADMITTED)));
    }
    endpoint_9_a_token_that_was_used_before: Endpoint9 "its token was used before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let again = enrolled_again(drafts, &token(), drafts[ADMITTED].act.event());
            drafts.insert(ENROLLED + 1, again);
        });
    }
    endpoint_11_a_token_that_had_expired: Endpoint11 "its token had expired", |recipe| {
        recipe.token = Box::new(|paper| paper.document.not_after = at("08:20:01"));
    }
    endpoint_12_another_endpoint_than_the_tokens: Endpoint12 "its endpoint is not that of its token", |recipe| {
        recipe.enrolment = Box::new(|paper| paper.document.endpoint = "web-04".parse().unwrap());
        recipe.drafts = Box::new(|drafts| set(&mut drafts[ENROLLED], "endpoint", "web-04"));
    }
    endpoint_13_signed_in_another_order:
        Endpoint13 "enrolment is not signed by one-time key and evidence key, in this order", |recipe| {
        recipe.enrolment = Box::new(|paper| paper.keys = vec![EVIDENCE, TOKEN]);
    }
    endpoint_13_the_one_time_key_signs_evidence:
        Endpoint13 "the one-time key is also its evidence key", |recipe| {
        recipe.enrolment = Box::new(|paper| {
            paper.document.evidence_key = key(TOKEN).public();
            paper.keys = vec![TOKEN, TOKEN];
        });
    }
    endpoint_14_another_generation_than_its_own: Endpoint14 "it names another generation than its act", |recipe| {
        recipe.drafts = Box::new(|drafts| set(&mut drafts[ENROLLED], "generation", "2"));
    }
    endpoint_15_a_generation_that_enrolled_before: Endpoint15 "web-03#1 was enrolled before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let second = Token { issued: at("08:11:00"), ..token() };
            let signed = sign(&second, &[CAT]);
            let refs = [
                ("endpoint", "web-03".to_owned()),
                ("generation", "1".to_owned()),
                ("token", signed.digest().to_string()),
            ];
            let digest = signed.digest();
            let admitted = Draft::new(EntryType::EndpointAdmitted, Chain::Deployment, "08:21:00", refs, |_| {
                signed.into()
            });
            let again = enrolled_again(drafts, &second, digest);
            drafts.splice(ENROLLED + 1..ENROLLED + 1, [admitted, again]);
        });
    }
    endpoint_18_signed_by_a_stranger:
        Endpoint18 "renewal is not signed by the endpoint's evidence key", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts.insert(LOGIN + 1, renewed(1, 51, &[MALLORY])));
    }
    endpoint_19_another_generation_than_its_own: Endpoint19 "it names another generation than its act", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let mut renewed = renewed(1, 51, &[EVIDENCE]);
            set(&mut renewed, "generation", "2");
            drafts.insert(LOGIN + 1, renewed);
        });
    }
    endpoint_20_a_generation_that_never_enrolled: Endpoint20 "web-03#2 was never enrolled", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts.insert(LOGIN + 1, renewed(2, 51, &[EVIDENCE])));
    }
    endpoint_20_a_generation_that_was_retired: Endpoint20 "web-03#1 was retired before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let behind = [retired("08:35:00"), renewed(1, 51, &[EVIDENCE])];
            drafts.splice(LOGIN + 1..LOGIN + 1, behind);
        });
    }
    endpoint_25_the_nonce_of_its_enrolment: Endpoint25 "its nonce is that of an enrolment or renewal before", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts.insert(LOGIN + 1, renewed(1, 1, &[EVIDENCE])));
    }
    endpoint_25_the_nonce_of_the_renewal_before: Endpoint25 "its nonce is that of an enrolment or renewal before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let second = edited(&renewed(1, 51, &[EVIDENCE]).act, "exhibit-renewal-v1", &[EVIDENCE], ("08:40:00", "08:40:01"));
            let second = Draft { act: second, ..renewed(1, 51, &[EVIDENCE]) };
            drafts.splice(LOGIN + 1..LOGIN + 1, [renewed(1, 51, &[EVIDENCE]), second]);
        });
    }
    order_1_no_attempts: Order1 "invalid document: attempts are 1 to 10", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let act = edited(&drafts[ISSUED].act, "exhibit-order-v1", &[ALICE], ("\"attempts\":3", "\"attempts\":0"));
            let digest = act.event().to_string();
            set(&mut drafts[ISSUED], "order", &digest);
            drafts[ISSUED].act = act;
        });
    }
    order_2_signed_by_a_stranger: Order2 "signed by SHA256:ZsrOVCtcb1bouzun0GIHz5vL5oCjVhVIQ3jfIBIgZ8g, no key of alice as responder then", |recipe| {
        recipe.order = Box::new(|paper| paper.keys = vec![MALLORY]);
    }
    order_3_another_roster_than_the_one_in_force: Order3 "it names another roster than the one in force", |recipe| {
        recipe.order = Box::new(|paper| paper.document.roster_version = 1);
    }
    order_5_for_another_incident: Order5 "its order is for INC-2026-0008", |recipe| {
        recipe.order = Box::new(|paper| paper.document.incident = "INC-2026-0008".parse().unwrap());
    }
    order_6_another_order_than_its_own: Order6 "it names another order than its act", |recipe| {
        recipe.drafts = Box::new(|drafts| set(&mut drafts[ISSUED], "order", &Digest::ZERO.to_string()));
    }
    order_7_lives_too_long: Order7 "its order lives longer than the roster allows", |recipe| {
        recipe.order = Box::new(|paper| paper.document.expires = "2026-11-22T09:30:00.001Z".parse().unwrap());
    }
    order_8_another_sensitivity_than_its_plan:
        Order8 "its order is labelled with another sensitivity than its plan has", |recipe| {
        recipe.order = Box::new(|paper| paper.document.sensitivity = Sensitivity::Normal);
    }
    order_9_expired_when_it_was_issued: Order9 "its order or the roster had expired", |recipe| {
        recipe.order = Box::new(|paper| paper.document.expires = at("09:30:01"));
    }
    order_11_dated_in_the_future:
        Order11 "its order is dated 2026-11-21T09:40:01.001Z, more than 600 s later", |recipe| {
        recipe.order = Box::new(|paper| paper.document.issued = "2026-11-21T09:40:01.001Z".parse().unwrap());
    }
    order_15_an_approval_by_a_stranger: Order15 "signed by SHA256:ZsrOVCtcb1bouzun0GIHz5vL5oCjVhVIQ3jfIBIgZ8g, no key of bob as approver then", |recipe| {
        recipe.approval = Box::new(|paper| paper.keys = vec![MALLORY]);
    }
    entry_8_an_approval_of_another_deployment: Entry8 "its act is of deployment acne", |recipe| {
        recipe.approval = Box::new(|paper| paper.document.deployment = "acne".parse().unwrap());
    }
    order_16_an_approval_of_nothing: Order16 "it is about an order that was never issued", |recipe| {
        recipe.approval = Box::new(|paper| paper.document.order = Digest::ZERO);
        recipe.drafts = Box::new(|drafts| set(&mut drafts[APPROVED], "order", &Digest::ZERO.to_string()));
    }
    order_16_an_approval_in_another_incident: Order16 "it stands in another incident than its order", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts[APPROVED].chain = other_incident());
    }
    order_17_approved_and_the_document_rejects: Order17 "it says the opposite of what was decided", |recipe| {
        recipe.approval = Box::new(|paper| paper.document.decision = Decision::Reject);
    }
    order_17_another_order_than_its_own: Order17 "it names another order than its act", |recipe| {
        recipe.drafts = Box::new(|drafts| set(&mut drafts[APPROVED], "order", &Digest::ZERO.to_string()));
    }
    order_18_the_issuer_approves: Order18 "the issuer approved the own order", |recipe| {
        recipe.approval = Box::new(|paper| {
            paper.document.approver = "alice".parse().unwrap();
            paper.keys = vec![ALICE];
        });
    }
    order_19_the_issuer_rejects: Order19 "the issuer rejected the own order", |recipe| {
        recipe.approval = Box::new(|paper| {
            paper.document.approver = "alice".parse().unwrap();
            paper.document.decision = Decision::Reject;
            paper.keys = vec![ALICE];
        });
        recipe.drafts = Box::new(|drafts| drafts[APPROVED].type_ = EntryType::OrderRejected);
    }
    order_20_approved_twice: Order20 "its order does not wait for a decision", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            drafts.insert(STARTED, decided(drafts, Decision::Approve, "09:50:00"));
        });
    }
    order_20_rejected_after_an_approval: Order20 "its order does not wait for a decision", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            drafts.insert(STARTED, decided(drafts, Decision::Reject, "09:50:00"));
        });
    }
    order_23_a_cancellation_of_nothing: Order23 "it is about an order that was never issued", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let refs = [("order", Digest::ZERO.to_string())];
            drafts.push(by(EntryType::OrderCancelled, "11:40:00", ("person:alice", ALICE), &refs));
        });
    }
    order_23_a_cancellation_in_another_incident: Order23 "it stands in another incident than its order", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let refs = [("order", drafts[ISSUED].act.event().to_string())];
            let cancelled = Draft::new(EntryType::OrderCancelled, other_incident(), "11:40:00", refs, |draft| {
                draft.signed("person:alice", ALICE)
            });
            drafts.push(cancelled);
        });
    }
    order_25_bored: Order25 "no endpoint refuses an order for the reason bored", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let order = drafts[ISSUED].act.event();
            drafts.push(refused(incident(), order, "bored"));
        });
    }
    order_25_busy_which_is_never_recorded: Order25 "no endpoint refuses an order for the reason busy", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let order = drafts[ISSUED].act.event();
            drafts.push(refused(incident(), order, "busy"));
        });
    }
    order_25_an_order_that_was_never_issued: Order25 "it is about an order that was never issued", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts.push(refused(incident(), Digest::ZERO, "policy")));
    }
    order_25_an_order_of_another_incident: Order25 "it stands in another incident than its order", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let order = drafts[ISSUED].act.event();
            drafts.push(refused(other_incident(), order, "policy"));
        });
    }
    order_24_cancelled_twice: Order24 "its order was cancelled before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let refs = [("order", drafts[ISSUED].act.event().to_string())];
            for time in ["11:40:00", "11:41:00"] {
                drafts.push(by(EntryType::OrderCancelled, time, ("person:alice", ALICE), &refs));
            }
        });
    }
}
