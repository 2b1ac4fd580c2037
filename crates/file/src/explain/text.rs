//! Mistakes in how a file is written, by slug.

use super::Page;

pub(super) const PAGES: &[Page] = &[
    Page {
        slug: "ideal/alias",
        meaning: "Anchors (&), aliases (*) and merge keys (<<) are not read. They can make a small file stand for gigabytes, and they hide where a value comes from.",
        example: "a: &x {size: 1GiB}\nb: *x",
        mend: "Write the value out, put it under `vars:` and use {{ vars.name }}, or let clouds inherit it from the cloud above. A text that starts with * or & stands in quotes.",
    },
    Page {
        slug: "ideal/duplicate-key",
        meaning: "The same key stands twice in one mapping. Many programs silently take the last; we ask.",
        example: "nodes: 1\nnodes: 3",
        mend: "Keep one of them.",
    },
    Page {
        slug: "ideal/include-cycle",
        meaning: "A file includes itself, directly or through others, or the chain of files is longer than anyone needs.",
        example: "# a.yaml\ninclude: [b.yaml]\n# b.yaml\ninclude: [a.yaml]",
        mend: "Remove the line that leads back.",
    },
    Page {
        slug: "ideal/include-missing",
        meaning: "A file that is included could not be read.",
        example: "include: [clouds/wbe.yaml]",
        mend: "Look at its name: it is looked for in the folder of the file that includes it, and it must be an ordinary file inside the project.",
    },
    Page {
        slug: "ideal/many-documents",
        meaning: "The file has several YAML documents. An ideal is one.",
        example: "ideal: 1\n---\nideal: 1",
        mend: "Remove the line of dashes, or divide the file and use `include:`.",
    },
    Page {
        slug: "ideal/not-utf8",
        meaning: "The file is not UTF-8 text: it has bytes that are no characters, or it is UTF-16, or it is no text at all.",
        example: "(a file saved as UTF-16)",
        mend: "Save it as UTF-8. A byte order mark and Windows line ends are fine.",
    },
    Page {
        slug: "ideal/syntax",
        meaning: "The text is not YAML. What comes after this place was not looked at.",
        example: "command: [./pub, --port",
        mend: "Look at the line and the one before: a missing quote, bracket or blank after a colon shows late. An expression stands in quotes: \"{{ vars.name }}\".",
    },
    Page {
        slug: "ideal/tab",
        meaning: "A tab stands where YAML counts blanks.",
        example: "clouds:\n	shop: {}",
        mend: "Use spaces; most editors can be told to.",
    },
    Page {
        slug: "ideal/tag",
        meaning: "YAML tags (!name) are not read: in some programs they run code.",
        example: "a: !include x.yaml",
        mend: "Remove it. A text that starts with ! stands in quotes.",
    },
    Page {
        slug: "ideal/too-deep",
        meaning: "Mappings and lists are nested deeper than any ideal needs.",
        example: "[[[[[[[[ ...",
        mend: "Look for brackets that are never closed.",
    },
    Page {
        slug: "ideal/too-large",
        meaning: "The file, one of its texts, or what its clouds inherit together is larger than anything an ideal needs. The limits keep a wrong file from eating the memory.",
        example: "(a file of 5 MB)",
        mend: "Look whether this is the right file. Large content belongs into files that a resource fetches, not into the ideal.",
    },
    Page {
        slug: "ideal/too-many-problems",
        meaning: "The file has so many problems that the rest is not shown. Most likely it is something else than an ideal file.",
        example: "(the packing list of another program)",
        mend: "Look whether this is the right file.",
    },
    Page {
        slug: "ideal/too-much",
        meaning: "The directory with all that is in it is a large part of the system. Removing it would end the node.",
        example: "- directory: {path: /var, state: absent, with_content: true}",
        mend: "Name a directory deeper down.",
    },
    Page {
        slug: "ideal/unsafe-text",
        meaning: "The text holds a character that controls the terminal, hides, or makes text read in another order than it is: what one sees is not what it is. Or it starts with a dash where a program would take it for an option.",
        example: "command: [\"./pub\", \"\\u202e\"]",
        mend: "Remove the character. Text that was pasted from a web page or a chat often carries such ones.",
    },
    Page {
        slug: "ideal/version",
        meaning: "The number after `ideal:` is the version of the file format, and this program knows only version 1.",
        example: "ideal: 2",
        mend: "Write `ideal: 1`, or use a newer `ideal` if the file was made for one.",
    },
];
