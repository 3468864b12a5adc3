#!/bin/sh
# junit.sh RESULTS: the lines `PASS name`, `FAIL name`, `SKIP name: why` as JUnit XML on stdout, for a CI server. What goes
# before a name's first dot or blank is the class.
set -eu
awk '
    function escape(s) { gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s); gsub(/>/, "\\&gt;", s); gsub(/"/, "\\&quot;", s); gsub(/[^[:print:]\t]/, "?", s); return s }
    /^(PASS|FAIL|SKIP) / {
        kind = $1; name = substr($0, 6); why = ""
        if (kind != "PASS" && (i = index(name, ": "))) { why = substr(name, i + 2); name = substr(name, 1, i - 1) }
        i = match(name, /[. ]/); class = i ? substr(name, 1, i - 1) : name; if (i) name = substr(name, i + 1)
        n++; failed += kind == "FAIL"; skipped += kind == "SKIP"
        line = "  <testcase classname=\"bitpress." escape(class) "\" name=\"" escape(name) "\""
        if (kind == "PASS") line = line "/>"
        else line = line "><" (kind == "FAIL" ? "failure" : "skipped") " message=\"" escape(why ? why : "see the log") "\"/></testcase>"
        body = body line "\n"
    }
    END {
        print "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
        printf "<testsuite name=\"bitpress\" tests=\"%d\" failures=\"%d\" skipped=\"%d\">\n%s</testsuite>\n", n, failed, skipped, body
    }' "$1"
