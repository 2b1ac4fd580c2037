//! What the kernel has mounted, as this process sees it.

use std::{fs, io};

use ideal_core::resource::mount::unescaped;
use ideal_host::home::Device;

/// Where a device is mounted.
pub(super) fn points(device: Device) -> io::Result<Vec<String>> {
    Ok(parse(&fs::read_to_string("/proc/self/mountinfo")?, device))
}

fn parse(text: &str, device: Device) -> Vec<String> {
    let wanted = format!("{}:{}", device.major, device.minor);
    let point = |line: &str| {
        let mut words = line.split(' ');
        (words.nth(2)? == wanted).then_some(())?;
        Some(unescaped(words.nth(1)?))
    };
    text.lines().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_by_its_numbers() {
        let text = "36 35 98:0 / / rw - ext4 /dev/root rw\n\
                    40 36 7:3 / /var/lib/a\\040b rw,relatime shared:1 - ext4 /dev/ideal/data rw\n\
                    41 36 7:31 / /other rw - xfs /dev/loop31 rw\n";
        assert_eq!(parse(text, Device { major: 7, minor: 3 }), ["/var/lib/a b"]);
        assert!(parse(text, Device { major: 7, minor: 1 }).is_empty());
    }
}
