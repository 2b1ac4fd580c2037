//! The file that `ideal init` writes is without fault, says where its values come from, and survives being cut
//! off anywhere.

use ideal_core::id::{CloudId, Name};
use ideal_file::show::{show, show_text};
use ideal_file::{Sources, fix, load, render_plain, starter};

fn text() -> String {
    let id = |n: u128| CloudId(uuid::Uuid::from_u128(0x5f0c_6f2e_0000_4000_8000_0000_0000_0000 + n));
    let name: Result<Name, _> = "shop".parse();
    starter(&name.unwrap_or_else(|_| unreachable!("a good name")), [id(1), id(2), id(3)])
}

#[test]
fn it_passes_its_own_check() {
    let loaded = load(&Sources::one("ideal.yaml", text()));
    assert_eq!(render_plain(&loaded), "");
    let resolved = loaded.resolved.unwrap();
    assert_eq!(resolved.ideal.clouds.len(), 3);
    assert_eq!(resolved.ideal.services.len(), 2);
    let shown = show_text(&show(&resolved, &loaded.map, Some(&"shop.web".parse().unwrap())));
    assert!(shown.contains("cloud shop.web\n"), "{shown}");
    assert!(
        shown.contains("provider  here                                  ideal.yaml:14 (inherited)"),
        "{shown}"
    );
    assert!(shown.contains("service hello\n"), "{shown}");
    assert!(!shown.contains("cloud shop.db"), "{shown}");
}

#[test]
fn cut_off_anywhere_it_is_answered() {
    let text = text();
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        let loaded = load(&Sources::one("ideal.yaml", &text[..end]));
        assert!(loaded.is_good() || loaded.errors() > 0, "cut at {end}");
    }
}

#[test]
fn without_its_uuids_they_are_written_again() {
    let text = text();
    let bare: String =
        text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with("uuid:")).collect();
    assert_eq!(load(&Sources::one("ideal.yaml", bare.as_str())).errors(), 3);
    let mut n = 0;
    let (fixed, count) = fix(&bare, || {
        n += 1;
        uuid::Uuid::from_u128(n).to_string()
    });
    assert_eq!(count, 3);
    let loaded = load(&Sources::one("ideal.yaml", fixed.as_str()));
    assert_eq!(render_plain(&loaded), "");
    let back: String =
        fixed.split_inclusive('\n').filter(|line| !line.trim_start().starts_with("uuid:")).collect();
    assert_eq!(back, bare);
}
