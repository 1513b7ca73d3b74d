//! One row for each mount and each swap area.

use serde_json::{Map, json};

use super::{Decoder, Out, Shape, fields, lines, number, table, text};

#[derive(Debug, Default)]
pub(super) struct Mounts;

impl Decoder for Mounts {
    fn shape(&self, path: &[u8]) -> Option<Shape> {
        (path.ends_with(b"/mountinfo") || path == b"/proc/swaps").then_some(Shape::Lines)
    }

    fn piece(&mut self, path: &[u8], bytes: &[u8], out: &mut Out) {
        if path == b"/proc/swaps" {
            table("swap", path, bytes, &Map::new(), out);
            return;
        }
        for line in lines(bytes) {
            let all = fields(line);
            let mut halves = all.splitn(2, |field| *field == b"-");
            let (Some([id, parent, device, root, point, options, ..]), Some([kind, source, rest @ ..])) =
                (halves.next(), halves.next())
            else {
                continue;
            };
            out.row(&json!({
                "row": "mount", "source": text(path), "id": number(id), "parent": number(parent), "device": text(device),
                "root": text(&plain(root)), "mounted_at": text(&plain(point)), "options": text(options), "type": text(kind),
                "what": text(&plain(source)), "super_options": rest.first().map(|options| text(options)),
            }));
        }
    }
}

fn plain(field: &[u8]) -> Vec<u8> {
    crate::reader::unescape(field)
}

#[cfg(test)]
mod tests {
    use crate::rows::decode;

    #[test]
    fn a_mount_has_its_real_path_and_its_source() {
        let table = b"30 22 0:40 / /mnt/a\\040b rw,noatime master:1 - ext4 /dev/sdb1 rw,discard\nbad line\n";
        let rows = decode("mounts", &[("/proc/1/mountinfo", table)]);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["mounted_at"], "/mnt/a b");
        assert_eq!(rows[0]["type"], "ext4");
        assert_eq!(rows[0]["super_options"], "rw,discard");
    }
}
