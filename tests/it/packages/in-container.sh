# Runs inside the booted container as a service; its output is the test's evidence.
set -euo pipefail
cd /exhibit-test
trap 'echo "FAILED at line $LINENO"; journalctl --no-pager -n 60 -u exhibit-server -u exhibit-agent || true' ERR
say() { echo "== $*"; }
wait_for() { # what, test...
    local what=$1 left=200; shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1)); [ "$left" -gt 0 ] || { echo "$what did not happen"; return 1; }
        sleep 0.1
    done
}
export HOME=/root

say install
dpkg -i ./*.deb
systemctl daemon-reload
systemd-analyze verify /usr/lib/systemd/system/exhibit-agent.service /usr/lib/systemd/system/exhibit-server.service
[ "$(systemctl is-active exhibit-agent)" != active ] && echo "agent waits for its enrolment"

say texts
for package in exhibit exhibit-agent exhibit-server; do
    for text in README.md docs/guide/quick-start.md docs/guide/responder.md docs/guide/consultant.md docs/guide/extending.md docs/spec/bundle.md \
        examples/bodyfile.py examples/policy.toml; do
        test -s "/usr/share/doc/$package/$text"
    done
    links=0
    while read -r page; do
        for link in $(grep -oE '\]\([^)#: ]+' "$page" | sed 's/](//' | grep -E '/|\.md$'); do
            [ -e "$(dirname "$page")/$link" ] || { echo "$page: nothing is at $link"; exit 1; }
            links=$((links + 1))
        done
    done < <(find "/usr/share/doc/$package" -name '*.md')
    [ "$links" -gt 50 ]
done
test -x /usr/share/exhibit/verify.py

say deployment
exhibit authority init /root/admin --deployment pkg --person alice=responder,endpoint-admin
install -d -o exhibit-server -m 700 /var/lib/exhibit-server-in
install -o exhibit-server -m 600 /root/admin/authority /root/admin/roster-1.signed /var/lib/exhibit-server-in/
runuser -u exhibit-server -- exhibit-server init /var/lib/exhibit-server --authority /var/lib/exhibit-server-in/authority --roster /var/lib/exhibit-server-in/roster-1.signed \
    --store /var/lib/exhibit-server/store-a --store /var/lib/exhibit-server/store-b --listen 127.0.0.1:7443 --enrol-listen 127.0.0.1:7444
systemctl start exhibit-server
systemctl is-active exhibit-server
wait_for "addresses" test -s /var/lib/exhibit-server/run/addresses.json

say enrol
exhibit setup --card /var/lib/exhibit-server/deployment.json --authority /root/admin/authority --person alice --key /root/admin/keys/alice
exhibit login
exhibit-agent enrol --token "$(exhibit endpoint token pkg-host --quiet)" --state /var/lib/exhibit-agent --policy /etc/exhibit/policy.toml
systemctl start exhibit-agent
systemctl is-active exhibit-agent
wait_for "the agent connecting" sh -c 'exhibit --json endpoint list | grep -q "\"connected\": *true"'
systemctl show -p MainPID,User,NoNewPrivileges,CapabilityBoundingSet exhibit-agent
for pid in $(pgrep -f exhibit-agent); do
    echo "$(tr '\0' ' ' <"/proc/$pid/cmdline") uid=$(awk '/^Uid/ {print $2}' "/proc/$pid/status") caps=$(awk '/^CapEff/ {print $2}' "/proc/$pid/status") seccomp=$(awk '/^Seccomp:/ {print $2}' "/proc/$pid/status")"
done

say collect
incident=$(exhibit --json incident open --title packages --severity low --tlp green --class other | sed -n 's/.*"incident": *"\(INC-[0-9-]*\)".*/\1/p')
before=$(stat -c %x /etc/shadow)
exhibit collect --incident "$incident" --on pkg-host --profile linux-triage --purpose test --wait
exhibit collection list --incident "$incident"
[ "$before" = "$(stat -c %x /etc/shadow)" ] && echo "access time of /etc/shadow is unchanged"
exhibit bundle export "$incident" --out /root/bundle --purpose test
exhibit trust export /root/trust
exhibit-verify /root/bundle --trust /root/trust --quiet
python3 /usr/share/exhibit/verify.py /root/bundle /root/trust | tail -n 1
python3 /usr/share/doc/exhibit/examples/bodyfile.py /root/bundle/evidence/* >/root/bodyfile
grep -q "^0|/etc/hostname|" /root/bodyfile

say "restart, then stop"
systemctl restart exhibit-server exhibit-agent
wait_for "the agent connecting again" sh -c 'exhibit --json endpoint list | grep -q "\"connected\": *true"'
systemctl stop exhibit-agent exhibit-server
for unit in exhibit-agent exhibit-server; do
    [ "$(systemctl show -p Result --value $unit)" = success ] && echo "$unit stopped cleanly"
done

say remove
dpkg -r exhibit-agent exhibit-server exhibit
[ ! -e /usr/bin/exhibit-agent ] && [ -e /var/lib/exhibit-agent/identity.json ] && echo "state outlives removal"
dpkg -P exhibit-agent exhibit-server
[ ! -e /var/lib/exhibit-agent ] && echo "purge removes the agent's state"
[ -e /var/lib/exhibit-server/server.toml ] && echo "evidence outlives even a purge"
echo "PACKAGES OK"
