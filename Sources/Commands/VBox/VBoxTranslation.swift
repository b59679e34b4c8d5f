import DataFiles
import Machine

/// Commands of VBoxManage as commands of Vitrine. The words are those of its manual; what they do here is what Vitrine's verbs do.
struct VBoxTranslation {
    let store: MachineStore

    private enum Word: String, CaseIterable {
        case list, showvminfo, createvm, unregistervm, clonevm, modifyvm, startvm, controlvm, snapshot, discardstate, createmedium, createhd
        case showmediuminfo, showhdinfo, storagectl, storageattach
    }

    private func translate(_ word: Word, _ rest: [String]) throws(MachineError) -> [[String]] {
        switch word {
        case .list: try list(rest)
        case .showvminfo: try showInfo(rest)
        case .createvm: try create(rest)
        case .unregistervm: try unregister(rest)
        case .clonevm: try clone(rest)
        case .modifyvm: try modify(rest)
        case .startvm: try start(rest)
        case .controlvm: try control(rest)
        case .snapshot: try snapshot(rest)
        case .discardstate: try discard(rest)
        case .createmedium, .createhd: try createMedium(rest)
        case .showmediuminfo, .showhdinfo: try showMedium(rest)
        case .storagectl: try controller(rest)
        case .storageattach: try attach(rest)
        }
    }

    /// VBoxManage has them, Vitrine does not.
    private static let absent = [
        "registervm", "movevm", "import", "export", "modifynvram", "unattended", "modifymedium", "clonemedium", "closemedium",
        "convertfromraw",
        "mediumio", "adoptstate", "setextradata", "getextradata", "debugvm", "encryptmedium", "encryptvm", "checkmediumpwd", "hostonlyif",
        "hostonlynet", "dhcpserver", "natnetwork", "sharedfolder", "guestproperty", "guestcontrol", "metrics", "usbfilter", "extpack",
        "bandwidthctl",
        "usbdevsource", "cloud", "cloudprofile", "signova", "setproperty", "updatecheck", "modifyhd", "clonehd", "mediumproperty",
        "updatehost",
    ]

    /// - Throws: `.usage` with one sentence on what is not there, or is not understood.
    func commands(for words: [String]) throws(MachineError) -> [[String]] {
        let words = words.filter { $0 != "-q" && $0 != "--nologo" && $0 != "-nologo" }
        guard let name = words.first else { throw .usage("'vbox' needs a command of VBoxManage, for example: vitrine vbox list vms.") }
        if let word = Word(rawValue: name) { return try translate(word, Array(words.dropFirst())) }
        if VBoxTranslation.absent.contains(name) { throw VBoxOptions.missing("'\(name)'") }
        throw .usage("vbox: '\(name)' is no command of VBoxManage\(Nearest.suggestion(name, in: Word.allCases.map(\.rawValue))).")
    }

    // MARK: Looking

    private func list(_ words: [String]) throws(MachineError) -> [[String]] {
        let what = try VBoxOptions(words, flags: ["l", "long", "s", "sorted"]).only("list", "word such as vms")
        switch what {
        case "vms": return [["list", "--quoted"]]
        case "runningvms": return [["list", "--running", "--quoted"]]
        case "ostypes": return [["os-types"]]
        case "groups", "hdds", "dvds", "floppies", "hostinfo", "systemproperties", "bridgedifs", "hostonlyifs", "natnets", "usbhost",
            "extpacks",
            "cpu-profiles", "hddbackends", "hostdvds", "hostfloppies", "intnets", "webcams", "cloudproviders":
            throw VBoxOptions.missing("'list \(what)'")
        default: throw .usage("vbox: 'list \(what)' is not known\(Nearest.suggestion(what, in: ["vms", "runningvms", "ostypes"])).")
        }
    }

    private func showInfo(_ words: [String]) throws(MachineError) -> [[String]] {
        let options = try VBoxOptions(words, flags: ["details", "machinereadable"])
        try options.expect("showvminfo", ["details", "machinereadable", "log"])
        let name = try options.only("showvminfo", "machine")
        if options.has("log") { return [["log", name]] }
        return [["show", name] + (options.has("machinereadable") ? ["--json"] : [])]
    }

    // MARK: Making and removing

    private func create(_ words: [String]) throws(MachineError) -> [[String]] {
        let options = try VBoxOptions(words, flags: ["register", "default"])
        try options.expect("createvm", ["name", "ostype", "register", "default", "groups", "description"])
        guard let name = options.value("name"), options.plain.isEmpty else {
            throw .usage("vbox: 'createvm' needs --name, and no other words.")
        }
        var command = ["create", name, "--os-type", try osType(options.value("ostype") ?? "Other")]
        if let group = options.value("groups") { command += VBoxTranslation.group(group) }
        if let notes = options.value("description"), !notes.isEmpty { command += ["--notes", notes] }
        return [command]
    }

    /// `/a/b,/c`: the first; a machine is in one group here.
    static func group(_ text: String) -> [String] {
        let first = text.split(separator: ",").first.map { String($0.drop { $0 == "/" }) } ?? ""
        return first.isEmpty ? ["--no-group"] : ["--group", first]
    }

    private func unregister(_ words: [String]) throws(MachineError) -> [[String]] {
        let options = try VBoxOptions(words, flags: ["delete", "deleteall"])
        try options.expect("unregistervm", ["delete", "deleteall"])
        let name = try options.only("unregistervm", "machine")
        guard options.has("delete") || options.has("deleteall") else {
            throw VBoxOptions.missing("a register to take '\(name)' out of: move its folder away, or say --delete")
        }
        return [["delete", name, "--yes"]]
    }

    private func clone(_ words: [String]) throws(MachineError) -> [[String]] {
        let options = try VBoxOptions(words, flags: ["register"])
        try options.expect("clonevm", ["name", "register", "mode", "options", "snapshot"])
        let name = try options.only("clonevm", "machine")
        let linked = options.value("options")?.lowercased().split(separator: ",").contains("link") == true
        let snapshot = options.value("snapshot")
        if snapshot != nil, !linked { throw VBoxOptions.missing("whole clones of a snapshot; add --options link") }
        return [["clone", name, options.value("name") ?? name + " Clone"] + (linked ? ["--linked"] : []) + (snapshot.map { ["--snapshot", $0] } ?? [])]
    }

    // MARK: Running

    private func start(_ words: [String]) throws(MachineError) -> [[String]] {
        let options = try VBoxOptions(words)
        try options.expect("startvm", ["type"])
        guard !options.plain.isEmpty else { throw .usage("vbox: 'startvm' needs a machine.") }
        switch options.value("type")?.lowercased() ?? "gui" {
        // One after the other on this screen would wait for each other.
        case "gui", "sdl", "separate": return options.plain.map { ["start", $0] + (options.plain.count > 1 ? ["--detach"] : []) }
        case "headless": return options.plain.map { ["start", $0, "--headless", "--detach"] }
        case let type: throw .usage("vbox: 'startvm --type \(type)' is not known; use gui or headless.")
        }
    }

    private func control(_ words: [String]) throws(MachineError) -> [[String]] {
        guard words.count >= 2 else { throw .usage("vbox: 'controlvm' needs a machine and what to do with it.") }
        let (name, what, rest) = (words[0], words[1], Array(words.dropFirst(2)))
        switch what {
        case "pause", "resume", "reset": return [[what, name]]
        case "poweroff": return [["stop", name, "--hard"]]
        case "acpipowerbutton", "shutdown": return [["stop", name]]
        case "savestate": return [["save-state", name]]
        case "keyboardputstring": return [["type", name, rest.joined()]]
        case "keyboardputfile", "screenshotpng":
            guard let file = rest.first else { throw .usage("vbox: 'controlvm \(what)' needs a file.") }
            if what == "screenshotpng" { return [["screenshot", name, file]] }
            let bytes = try WholeFile.read(file, what: "text", limit: 1 << 20)
            return [["type", name, String(decoding: bytes, as: UTF8.self).replacing("\\", with: "\\\\").replacing("\n", with: "\\n")]]
        default:
            let known = [
                "pause", "resume", "reset", "poweroff", "acpipowerbutton", "savestate", "keyboardputstring", "keyboardputfile",
                "screenshotpng",
            ]
            throw VBoxOptions.missing("'controlvm \(what)'\(Nearest.suggestion(what, in: known))")
        }
    }

    private func discard(_ words: [String]) throws(MachineError) -> [[String]] {
        [["discard-state", try VBoxOptions(words).only("discardstate", "machine")]]
    }

    private func snapshot(_ words: [String]) throws(MachineError) -> [[String]] {
        let options = try VBoxOptions(words, flags: ["live", "details", "machinereadable"])
        guard options.plain.count >= 2 else { throw .usage("vbox: 'snapshot' needs a machine and what to do.") }
        let (name, what) = (options.plain[0], options.plain[1])
        if what == "list" { return [["snapshot", "list", name] + (options.has("machinereadable") ? ["--json"] : [])] }
        guard ["take", "restore", "delete"].contains(what) else { throw VBoxOptions.missing("'snapshot \(what)'") }
        guard options.plain.count == 3 else { throw .usage("vbox: 'snapshot \(name) \(what)' needs the snapshot's name.") }
        return [["snapshot", what, name, options.plain[2]] + (options.value("description").map { ["--description", $0] } ?? [])]
    }

    // MARK: Images

    private func createMedium(_ words: [String]) throws(MachineError) -> [[String]] {
        let options = try VBoxOptions(words)
        try options.expect("createmedium", ["filename", "size", "sizebyte", "format", "variant", "diffparent"])
        if options.has("diffparent") { throw VBoxOptions.missing("differencing images") }
        if let kind = options.plain.first, kind != "disk" { throw VBoxOptions.missing("'createmedium \(kind)'") }
        guard let file = options.value("filename") else { throw .usage("vbox: 'createmedium' needs --filename.") }
        let format = options.value("format")?.uppercased() ?? "VDI"
        guard format == "VDI" || format == "RAW" else { throw VBoxOptions.missing("\(format) images: use VDI") }
        let size: String
        if let mib = options.value("size") {
            size = mib + "M"
        } else if let bytes = options.value("sizebyte").flatMap({ UInt64($0) }), bytes % 1024 == 0 {
            size = "\(bytes >> 10)K"
        } else {
            throw .usage("vbox: 'createmedium' needs --size with a number of MiB.")
        }
        let fixed = options.value("variant")?.lowercased().split(separator: ",").contains("fixed") == true
        return [["disk", "create", file, "--size", size, "--format", format == "RAW" ? "raw" : fixed ? "fixed" : "dynamic"]]
    }

    private func showMedium(_ words: [String]) throws(MachineError) -> [[String]] {
        let plain = try VBoxOptions(words).plain
        guard let file = plain.last, plain.count == 1 || plain == ["disk", file] else {
            throw .usage("vbox: 'showmediuminfo' needs one image.")
        }
        return [["disk", "info", file]]
    }

    // MARK: OS types

    /// VirtualBox's ids, in lower case, without `_64`; what is not here is looked up among our own.
    private static let types: [(prefix: String, id: String)] = [
        ("dos", "dos"), ("windows31", "windows-3.1"), ("windows95", "windows-95"), ("windows98", "windows-98"), ("windowsme", "windows-me"),
        ("windowsnt3x", "windows-nt3"), ("windowsnt4", "windows-nt4"), ("windows2000", "windows-2000"), ("windowsxp", "windows-xp"),
        ("windows2003", "windows-2003"), ("windows", "windows-vista"), ("os2", "os2"), ("linux22", "linux-2.2"), ("linux24", "linux-2.4"),
        ("linux26", "linux-2.6"), ("netware", "netware"), ("solaris", "solaris"), ("opensolaris", "solaris"), ("freebsd", "freebsd"),
        ("netbsd", "netbsd"), ("openbsd", "openbsd"), ("l4", "l4"), ("haiku", "haiku"), ("other", "other"), ("qnx", "other"),
        ("beos", "other"),
    ]
    private static let distributions = [
        "linux", "arch", "debian", "fedora", "gentoo", "mandriva", "oracle", "redhat", "opensuse", "suse", "turbolinux", "ubuntu",
        "xandros", "xubuntu", "lubuntu",
    ]

    /// - Throws: `.usage` for one that neither side knows.
    func osType(_ text: String) throws(MachineError) -> String {
        if OSType.named(text) != nil { return text }
        let lower = text.lowercased()
        let is64 = lower.hasSuffix("_64")
        let bare = is64 ? String(lower.dropLast(3)) : lower
        let id =
            VBoxTranslation.types.first { bare.hasPrefix($0.prefix) }?.id
            ?? (VBoxTranslation.distributions.contains { bare.hasPrefix($0) } ? "linux" : nil)
        guard let id else { throw .usage("vbox: the OS type '\(text)' is not known; see 'vitrine os-types'.") }
        let wide = ["\(id)-64", "\(id)64"].first { OSType.named($0) != nil }
        return is64 ? wide ?? id : id
    }
}
