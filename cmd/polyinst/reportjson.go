package main

// evidence is the schema of report --json.
type evidence struct {
	Schema        int             `json:"schema"`
	Time          string          `json:"time"`
	Host          string          `json:"host"`
	Kernel        string          `json:"kernel"`
	Version       string          `json:"version"`
	Controls      []string        `json:"controls"`
	Isolated      bool            `json:"isolated"` // sessions by the services below
	Judged        []string        `json:"judged"`
	Reasons       []string        `json:"reasons"` // what speaks against it; empty: it is isolated
	Since         *string         `json:"since"`   // null: nothing can be isolated
	Configuration configEvidence  `json:"configuration"`
	Module        *fileEvidence   `json:"module"` // null: it is not found
	Services      []serviceStands `json:"services"`
	Polydirs      []polydirStands `json:"polydirs"`
	Parents       []parentStands  `json:"parents"`
	Accounts      []accountStands `json:"accounts"`
	LeftOut       int             `json:"accounts_left_out"` // there are more than are looked at
	Sessions      []sessionStands `json:"sessions"`
	Remarks       []remark        `json:"remarks"` // of check --pam

	options reportOptions
}

// controls are what this is evidence for: R39 of version 1.2 became R55 of 2.0.
var controls = []string{"ANSSI-BP-028 1.2 R39", "ANSSI-BP-028 2.0 R55"}

type configEvidence struct {
	Files    []fileEvidence `json:"files"`
	Digest   string         `json:"digest"`   // of what sha256sum(1) prints of the files
	Accepted bool           `json:"accepted"` // it is the last good one
}

// fileEvidence is a file that has a say. Changed is the time of its inode, which
// touch(1) cannot set.
type fileEvidence struct {
	Path    string `json:"path"`
	SHA256  string `json:"sha256"`
	Changed string `json:"changed"`
	Owner   uint32 `json:"owner"`
	Mode    string `json:"mode"`

	changed int64
}

type serviceStands struct {
	Service   string   `json:"service"`
	Covered   bool     `json:"covered"`
	File      string   `json:"file"`
	Line      int      `json:"line"` // 0: there is no line of ours
	Control   string   `json:"control"`
	Arguments []string `json:"arguments"`
	Changed   string   `json:"changed"` // the file
	Problem   string   `json:"problem"` // why it is not covered
}

type polydirStands struct {
	Path     string   `json:"path"`
	Methods  []string `json:"methods"`
	Options  []string `json:"options"`  // mount options that all have who have one
	Isolated []string `json:"isolated"` // accounts that have one of their own, by all services
	Public   []string `json:"public"`   // accounts that see the public one, by some service
}

type parentStands struct {
	Path    string `json:"path"`
	Polydir string `json:"polydir"`
	Problem string `json:"problem"` // empty: it is as the configuration wants it
}

// accountStands is what the sessions of an account get, by services that get the
// same.
type accountStands struct {
	User     string       `json:"user"`
	UID      uint32       `json:"uid"`
	Services []string     `json:"services"`
	Outcome  string       `json:"outcome"`  // as of explain
	Isolated []string     `json:"isolated"` // polydirs
	Public   []publicPath `json:"public"`
	Refusals []string     `json:"refusals"`

	methods, options map[string][]string // of what is isolated
}

type publicPath struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

type sessionStands struct {
	namespaceJSON
	Current *bool `json:"current"` // as the configuration is now; null: it cannot be told
}
