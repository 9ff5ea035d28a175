#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Structs of two shared objects (as abidw describes them): what the old one has stands in the new one where it stood.

shapes.py OLD.xml NEW.xml: prints what went, moved or changed its type, and what came elsewhere than at an end; exit status 1 then.
"""
import sys
import xml.etree.ElementTree as ET


class Shapes:
    def __init__(self, path):
        root = ET.parse(path).getroot()
        self.types = {e.get("id"): e for e in root.iter() if e.get("id")}
        self.structs = {}
        for e in root.iter("class-decl"):
            if e.get("is-declaration-only") == "yes" or not e.get("name", "").startswith("dkd_"):
                continue
            members = [(int(m.get("layout-offset-in-bits")), m.find("var-decl")) for m in e.findall("data-member")]
            self.structs[e.get("name")] = int(e.get("size-in-bits", 0)), {
                v.get("name"): (at, self.name(v.get("type-id"))) for at, v in members}

    def name(self, ident):
        """A type in words, down to the names of typedefs and structs. A typedef of a function is the function."""
        e = self.types.get(ident)
        if e is None:
            return "void"
        if e.tag == "pointer-type-def":
            return self.name(e.get("type-id")) + "*"
        if e.tag == "qualified-type-def":
            return ("const " if e.get("const") == "yes" else "") + self.name(e.get("type-id"))
        if e.tag == "function-type":
            return self.function(e)
        if e.tag == "typedef-decl":
            below = self.types.get(e.get("type-id"))
            return self.function(below) if below is not None and below.tag == "function-type" else e.get("name")
        if e.tag == "array-type-def":
            return self.name(e.get("type-id")) + "[" + "][".join(s.get("length") for s in e.findall("subrange")) + "]"
        return e.get("name") or e.tag

    def function(self, e):
        result = e.find("return")
        return "{}({})".format(self.name(result.get("type-id")), ", ".join(
            "..." if p.get("is-variadic") == "yes" else self.name(p.get("type-id")) for p in e.findall("parameter")))


def differences(old, new):
    for name, (size, members) in sorted(old.structs.items()):
        if name not in new.structs:
            yield f"struct {name} is gone"
            continue
        now = new.structs[name][1]
        for member, (at, what) in members.items():
            if member not in now:
                yield f"{name}.{member} is gone"
            elif now[member] != (at, what):
                yield f"{name}.{member} was {what} at bit {at}, is {now[member][1]} at bit {now[member][0]}"
        for member, (at, _) in now.items():
            if member not in members and at < size:
                yield f"{name}.{member} is not at the end"


def main():
    old, new = Shapes(sys.argv[1]), Shapes(sys.argv[2])
    if len(old.structs) < 20:
        sys.exit(f"{sys.argv[1]} has only {len(old.structs)} structs")
    found = list(differences(old, new))
    print("\n".join(found))
    sys.exit(1 if found else 0)


main()
