-- The collector's database. Everything here but the tables marked LIVE is a projection of ledger and stores, recreated
-- by `exhibit-server rebuild`. Digests are 32-byte blobs, times the 24-character text form, booleans 0 or 1.

-- ---------------------------------------------------------------- sequencer

CREATE TABLE log (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    size           INTEGER NOT NULL,            -- committed entries
    root           BLOB    NOT NULL,            -- of the tree of that size
    last_time      TEXT    NOT NULL,            -- of the newest entry; '' before the first
    published_size INTEGER NOT NULL,            -- covered by the note below
    checkpoint     BLOB    NOT NULL             -- newest signed note; empty before the first
) STRICT;

CREATE TABLE entries (
    idx      INTEGER PRIMARY KEY,
    event    BLOB    NOT NULL UNIQUE,           -- event id: same event, same entry
    type     TEXT    NOT NULL,
    incident TEXT    NOT NULL,                  -- '' is the deployment's own chain
    seq      INTEGER NOT NULL,
    leaf     BLOB    NOT NULL,
    time     TEXT    NOT NULL,
    refs     TEXT    NOT NULL,                  -- JSON list of [name, value]
    actor    TEXT    NOT NULL,                  -- who acted; '' when the document names nobody
    detail   BLOB,                              -- digest of the detail object
    UNIQUE (incident, seq)
) STRICT;
CREATE INDEX entries_by_type ON entries (type, idx);
CREATE INDEX entries_by_detail ON entries (detail) WHERE detail IS NOT NULL;

CREATE TABLE chains (
    incident TEXT PRIMARY KEY,
    next_seq INTEGER NOT NULL,
    head     BLOB    NOT NULL                   -- leaf hash of the newest entry
) STRICT, WITHOUT ROWID;

-- Objects of committed but not yet published growth: replayed at start.
CREATE TABLE staging (
    size  INTEGER NOT NULL,                     -- tree size they lead to
    key   TEXT    NOT NULL,
    bytes BLOB    NOT NULL,
    PRIMARY KEY (size, key)
) STRICT;

-- ---------------------------------------------------------------- deployment

CREATE TABLE rosters (
    version   INTEGER PRIMARY KEY,
    digest    BLOB NOT NULL UNIQUE,
    not_after TEXT NOT NULL,
    signed    BLOB NOT NULL,                    -- the signed object, as it is in the stores
    idx       INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
    token      BLOB PRIMARY KEY,                -- digest of the token document
    endpoint   TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    key        TEXT    NOT NULL,
    not_after  TEXT    NOT NULL,
    idx        INTEGER NOT NULL,
    used_by    BLOB                             -- event of agent.enrolled
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoints (
    endpoint     TEXT    NOT NULL,
    generation   INTEGER NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('admitted', 'enrolled', 'superseded', 'retired')),
    token        BLOB    NOT NULL,
    evidence_key TEXT    NOT NULL,              -- public key; '' until enrolled
    fingerprint  TEXT    NOT NULL,              -- of the evidence key; '' until enrolled
    tls_spki_sha256 BLOB,                       -- of the newest TLS key; NULL until enrolled
    enrolled     TEXT    NOT NULL,              -- time; '' until enrolled
    idx          INTEGER NOT NULL,              -- entry of the last change
    PRIMARY KEY (endpoint, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE logins (
    idx     INTEGER PRIMARY KEY,
    person  TEXT NOT NULL,
    key     TEXT NOT NULL,                      -- fingerprint of the roster key
    tls_spki_sha256 BLOB NOT NULL,
    time    TEXT NOT NULL
) STRICT;

-- ---------------------------------------------------------------- incidents and orders

CREATE TABLE incidents (
    incident  TEXT PRIMARY KEY,
    state     TEXT    NOT NULL CHECK (state IN ('open', 'closed')),
    severity  TEXT    NOT NULL,
    tlp       TEXT    NOT NULL,
    class     TEXT    NOT NULL,
    detail    BLOB,                             -- the title
    opened    TEXT    NOT NULL,
    opened_by TEXT    NOT NULL,
    closed    TEXT    NOT NULL                  -- '' while open
) STRICT, WITHOUT ROWID;

-- Legal holds. One that was released stays, so that the same release is known again.
CREATE TABLE holds (
    hold     BLOB PRIMARY KEY,                  -- event id of hold.placed
    incident TEXT NOT NULL,
    placed   TEXT NOT NULL,
    by       TEXT NOT NULL,
    detail   BLOB,                              -- the reason
    released TEXT NOT NULL                      -- '' while it stands
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_of_incident ON holds (incident, placed, hold);

-- Until when evidence is kept at least; an incident without a row keeps it without end.
CREATE TABLE retention (
    incident TEXT PRIMARY KEY,
    until    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What plans of disposal that two persons approved name: it goes when nothing keeps it.
CREATE TABLE condemned (
    object   BLOB    NOT NULL,                  -- collection id, or digest of a detail object: more than one plan may name it
    incident TEXT    NOT NULL,
    plan     BLOB    NOT NULL,
    count    INTEGER NOT NULL,                  -- behind the last entry that the plan looked at
    idx      INTEGER NOT NULL,                  -- second approval
    PRIMARY KEY (object, plan)
) STRICT, WITHOUT ROWID;
CREATE INDEX condemned_by_plan ON condemned (incident, plan, count, idx);

-- What is gone from which store.
CREATE TABLE disposed (
    object TEXT NOT NULL,                       -- `<collection>/evidence` or `<incident>/details`
    store  TEXT NOT NULL,
    plan   BLOB NOT NULL,
    PRIMARY KEY (object, store, plan)
) STRICT, WITHOUT ROWID;

-- Detail objects named by acts. `text` is a copy for lists; erasing the object empties it.
CREATE TABLE details (
    digest BLOB PRIMARY KEY,
    idx    INTEGER NOT NULL,
    text   TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE orders (
    id             BLOB PRIMARY KEY,            -- digest of the order document
    incident       TEXT    NOT NULL,
    issuer         TEXT    NOT NULL,
    issued         TEXT    NOT NULL,
    expires        TEXT    NOT NULL,
    attempts_max   INTEGER NOT NULL,
    roster_version INTEGER NOT NULL,
    targets_root   BLOB    NOT NULL,
    targets_count  INTEGER NOT NULL,
    profile        TEXT    NOT NULL,
    sensitivity    TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('awaiting-approval', 'issued', 'rejected', 'cancelled')),
    event          BLOB    NOT NULL,
    idx            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_by_incident ON orders (incident, idx);

CREATE TABLE targets (
    order_id     BLOB    NOT NULL,
    position     INTEGER NOT NULL,              -- of the leaf in the order's tree
    endpoint     TEXT    NOT NULL,
    generation   INTEGER NOT NULL,
    fingerprint  TEXT    NOT NULL,
    PRIMARY KEY (order_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX targets_by_endpoint ON targets (endpoint, generation, order_id);

CREATE TABLE approvals (
    event    BLOB PRIMARY KEY,
    order_id BLOB NOT NULL,
    approver TEXT NOT NULL,
    decision TEXT NOT NULL,
    time     TEXT NOT NULL,
    idx      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_by_order ON approvals (order_id, idx);

-- What an endpoint did with an order. Rows come from order.refused and collection.started.
CREATE TABLE attempts (
    order_id   BLOB    NOT NULL,
    endpoint   TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,                -- 0: refused before any attempt
    collection BLOB,
    state      TEXT    NOT NULL CHECK (state IN ('refused', 'running', 'interrupted', 'malformed', 'stored', 'stored-degraded')),
    reason     TEXT    NOT NULL,
    time       TEXT    NOT NULL,                -- of the entry that says so
    PRIMARY KEY (order_id, endpoint, attempt)
) STRICT, WITHOUT ROWID;

-- ---------------------------------------------------------------- evidence

CREATE TABLE collections (
    number        INTEGER PRIMARY KEY,          -- short id for the large tables below; not stable across rebuilds
    id            BLOB    NOT NULL UNIQUE,
    incident      TEXT    NOT NULL,
    order_id      BLOB    NOT NULL,
    endpoint      TEXT    NOT NULL,
    generation    INTEGER NOT NULL,
    attempt       INTEGER NOT NULL,
    delegation    BLOB    NOT NULL,             -- event of collection.started
    sealer        TEXT    NOT NULL,             -- sealer's public key
    state         TEXT    NOT NULL CHECK (state IN ('running', 'interrupted', 'malformed', 'contradicted', 'stored', 'stored-degraded', 'disposed')),
    manifest      BLOB,
    seal_head     BLOB,                         -- digest of the newest seal
    items         INTEGER NOT NULL DEFAULT 0,
    not_ok        INTEGER NOT NULL DEFAULT 0,
    content_bytes INTEGER NOT NULL DEFAULT 0,
    plain_bytes   INTEGER NOT NULL DEFAULT 0,
    stored_bytes  INTEGER NOT NULL DEFAULT 0,
    segments      INTEGER NOT NULL DEFAULT 0,
    copies        INTEGER NOT NULL DEFAULT 0,   -- as collection.stored says
    degraded      INTEGER NOT NULL DEFAULT 0,
    independent   INTEGER NOT NULL DEFAULT 0,
    begun         TEXT    NOT NULL,             -- collector's time of collection.started
    ended         TEXT    NOT NULL,             -- of the last state; '' while running
    started_idx   INTEGER NOT NULL,
    stored_idx    INTEGER                       -- the receipt's entry
) STRICT;
CREATE INDEX collections_by_incident ON collections (incident, number);
CREATE INDEX collections_by_order ON collections (order_id, endpoint);

-- Acknowledged segments.
CREATE TABLE segments (
    collection  INTEGER NOT NULL,               -- collections.number
    idx         INTEGER NOT NULL,
    sha256      BLOB    NOT NULL,
    seal_sha256 BLOB    NOT NULL,
    stored_len  INTEGER NOT NULL,
    seal_len    INTEGER NOT NULL,
    plain_start INTEGER NOT NULL,
    plain_end   INTEGER NOT NULL,
    items       INTEGER NOT NULL,               -- records in its seal
    items_total INTEGER NOT NULL,               -- records up to and with its seal
    final       INTEGER NOT NULL,
    copies      INTEGER NOT NULL,               -- LIVE: stores that hold it, as last known
    PRIMARY KEY (collection, idx)
) STRICT, WITHOUT ROWID;

-- One row an item record: enough to find and list. The signed line itself is in seal `segment`.
CREATE TABLE items (
    collection INTEGER NOT NULL,
    n          INTEGER NOT NULL,
    segment    INTEGER NOT NULL,
    path       BLOB    NOT NULL,
    outcome    TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    at         INTEGER,                         -- plain offsets and lengths; NULL without a member
    data       INTEGER,
    size       INTEGER,
    stored     INTEGER,
    PRIMARY KEY (collection, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX items_by_path ON items (collection, path);
CREATE INDEX items_not_ok ON items (collection, n) WHERE outcome <> 'ok';

CREATE TABLE outcomes (
    collection INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (collection, outcome)
) STRICT, WITHOUT ROWID;

-- ---------------------------------------------------------------- time stamps

CREATE TABLE stamps (
    size  INTEGER NOT NULL,
    stamp BLOB    NOT NULL,                     -- digest of the response
    idx   INTEGER NOT NULL,
    PRIMARY KEY (size, stamp)
) STRICT, WITHOUT ROWID;

-- ---------------------------------------------------------------- LIVE: not rebuilt

CREATE TABLE endpoint_live (
    endpoint         TEXT PRIMARY KEY,
    generation       INTEGER NOT NULL,
    last_seen        TEXT    NOT NULL,
    agent            TEXT    NOT NULL,          -- version
    boot_id          TEXT    NOT NULL,
    state_generation INTEGER NOT NULL           -- counter of the agent's state; going back means a clone or restore
) STRICT, WITHOUT ROWID;

CREATE TABLE repair_queue (
    store    TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    wanting  TEXT    NOT NULL CHECK (wanting IN ('missing', 'damaged')),
    attempts INTEGER NOT NULL,
    due_ms   INTEGER NOT NULL,
    error    TEXT    NOT NULL,
    PRIMARY KEY (store, key)
) STRICT, WITHOUT ROWID;

-- Legal holds that buckets were told of; what is to be held, the table `holds` says.
CREATE TABLE hold_marks (
    store      TEXT    NOT NULL,
    collection BLOB    NOT NULL,
    held       INTEGER NOT NULL,
    segments   INTEGER NOT NULL,                -- as many as the collection had; -1: an object was made again since
    PRIMARY KEY (store, collection)
) STRICT, WITHOUT ROWID;

-- Stores that keep for now what is to go.
CREATE TABLE disposal_waits (
    store  TEXT    NOT NULL,
    object TEXT    NOT NULL,
    plan   BLOB    NOT NULL,
    due_ms INTEGER NOT NULL,                    -- asked again then
    why    TEXT    NOT NULL,
    PRIMARY KEY (store, object, plan)
) STRICT, WITHOUT ROWID;

-- The newest pass of the scrub over each store.
CREATE TABLE scrubs (
    store           TEXT PRIMARY KEY,
    begun_ms        INTEGER NOT NULL,
    ended_ms        INTEGER NOT NULL,           -- 0 while it goes on
    whole_ms        INTEGER NOT NULL,           -- begin of the last whole pass; 0: none yet
    cursor          TEXT    NOT NULL,           -- last key looked at
    objects         INTEGER NOT NULL,
    total           INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    damaged         INTEGER NOT NULL,
    missing         INTEGER NOT NULL,
    unreadable      INTEGER NOT NULL,
    ledger_problems INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Heads that each authority is to stamp.
CREATE TABLE tsa_queue (
    tsa      TEXT    NOT NULL,                  -- its URL
    size     INTEGER NOT NULL,
    note     BLOB    NOT NULL,
    attempts INTEGER NOT NULL,
    due_ms   INTEGER NOT NULL,
    error    TEXT    NOT NULL,
    PRIMARY KEY (tsa, size)
) STRICT, WITHOUT ROWID;

-- The newest stamp of each authority.
CREATE TABLE tsa_newest (
    tsa     TEXT PRIMARY KEY,
    size    INTEGER NOT NULL,
    at_ms   INTEGER NOT NULL,                   -- when it was had
    ends_ms INTEGER                             -- when the certificate that signed it ends, where the response tells
) STRICT, WITHOUT ROWID;
