import Machine

extension VBoxTranslation {
    /// `modifyvm`: one `set`, with a `rename` behind it when the name changes.
    func modify(_ words: [String]) throws(MachineError) -> [[String]] {
        let options = try VBoxOptions(words) { name, value in
            (name.hasPrefix("uartmode") && ["server", "client", "tcpserver", "tcpclient", "file"].contains(value))
                || (name.hasPrefix("uart") && !name.hasPrefix("uartmode") && !name.hasPrefix("uarttype") && value != "off")
        }
        let name = try options.only("modifyvm", "machine")
        let settings = try store.entry(name).checkedSettings()
        var result: [String] = []
        var boot = VBoxTranslation.bootSlots(settings)
        // Whole paths: words of a command line begin where the user is.
        let ports = try store.entry(name).runSettings().serial
        var serial = ports
        var newName: String?
        for (option, values) in options.options {
            let value = values.first ?? ""
            switch option {
            case "name": newName = value
            case "memory", "cpus": result += ["--" + option, value]
            case "vram": result += ["--video-memory", VBoxTranslation.videoMemory(value)]
            case "ostype": result += ["--os-type", try osType(value)]
            case "description": result += value.isEmpty ? ["--no-notes"] : ["--notes", value]
            case "groups": result += VBoxTranslation.group(value)
            case "acpi": result.append(try isOn(option, value) ? "--acpi" : "--no-acpi")
            case "rtcuseutc": result.append(try isOn(option, value) ? "--no-rtc-local" : "--rtc-local")
            case "ioapic": result.append(try isOn(option, value) ? "--ioapic" : "--no-ioapic")
            case "firmware":
                guard value.lowercased() == "bios" else { throw VBoxOptions.missing("EFI firmware") }
            case _ where option.hasPrefix("boot"):
                guard let slot = Int(option.dropFirst(4)), (1...4).contains(slot) else {
                    throw VBoxOptions.missing("the option --\(option) of 'modifyvm'")
                }
                boot[slot - 1] = try VBoxTranslation.bootLetter(value)
            case _ where option.hasPrefix("uart"): try port(option, values, &serial)
            case _
            where option.hasPrefix("nic") || option.hasPrefix("macaddress") || option.hasPrefix("cableconnected") || option.hasPrefix("nat"):
                guard value == "none" || value == "null" else { throw VBoxOptions.missing("network cards") }
            case _ where option.hasPrefix("audio"):
                guard value == "none" || value == "off" else { throw VBoxOptions.missing("sound") }
            case _ where option.hasPrefix("usb"):
                guard value == "off" else { throw VBoxOptions.missing("USB") }
            case _ where option.hasPrefix("lpt"):
                guard value == "off" else { throw VBoxOptions.missing("parallel ports with another end") }
            case "vrde":
                guard value == "off" else { throw VBoxOptions.missing("a remote display: 'vitrine attach' works over ssh") }
            default: throw VBoxOptions.missing("the option --\(option) of 'modifyvm'")
            }
        }
        if boot != VBoxTranslation.bootSlots(settings) {
            let order = boot.filter { $0 != "" }
            result += order.isEmpty ? ["--no-boot"] : ["--boot", order.joined()]
        }
        if serial != ports {
            while serial.last == SerialTarget.none { serial.removeLast() }
            result += serial.isEmpty ? ["--no-serial"] : serial.flatMap { ["--serial", $0.text] }
        }
        return (result.isEmpty ? [] : [["set", name] + result]) + (newName.map { [["rename", name, $0]] } ?? [])
    }

    private func isOn(_ option: String, _ value: String) throws(MachineError) -> Bool {
        switch value.lowercased() {
        case "on", "true", "yes", "1": return true
        case "off", "false", "no", "0": return false
        default: throw .usage("vbox: --\(option) is on or off, not '\(value)'.")
        }
    }

    /// The smallest size that is enough; beyond the largest, that one.
    private static func videoMemory(_ text: String) -> String {
        guard let mib = Int(text) else { return text }
        return String(RunSettings.videoMemorySizes.first { $0 >= mib } ?? RunSettings.videoMemorySizes.last ?? mib)
    }

    /// Letters of the four places; empty: none.
    private static func bootSlots(_ settings: MachineSettings) -> [String] {
        let letters = settings.run.boot.isEmpty ? ["a", "d", "c"] : settings.run.boot.map { String($0.rawValue) }
        return Array((letters + ["", "", "", ""]).prefix(4))
    }

    private static func bootLetter(_ word: String) throws(MachineError) -> String {
        switch word.lowercased() {
        case "none": return ""
        case "floppy": return "a"
        case "disk": return "c"
        case "dvd": return "d"
        case "net": return "n"
        default: throw .usage("vbox: a boot device is none, floppy, dvd, disk or net, not '\(word)'.")
        }
    }

    private func port(_ option: String, _ values: [String], _ serial: inout [SerialTarget]) throws(MachineError) {
        guard let number = option.last?.wholeNumberValue, (1...4).contains(number) else {
            throw VBoxOptions.missing("the option --\(option) of 'modifyvm'")
        }
        func put(_ end: SerialTarget) {
            while serial.count < number { serial.append(.none) }
            serial[number - 1] = end
        }
        let value = values.first ?? ""
        // Ports and interrupts are those of a PC; which one is fitted is not a choice here.
        if option.hasPrefix("uarttype") { return }
        guard option.hasPrefix("uartmode") else {
            if value == "off" { put(.none) }
            return
        }
        switch (value, values.count) {
        case ("disconnected", _): put(.none)
        case ("server", 2): put(.socket(values[1]))
        case ("file", 2): put(.file(values[1]))
        case ("client", _), ("tcpserver", _), ("tcpclient", _): throw VBoxOptions.missing("serial ports with the other end '\(value)'")
        default: throw VBoxOptions.missing("serial ports on the host's device '\(value)'")
        }
    }

    // MARK: Storage

    /// `storagectl`: the controllers are on the board; only what the disks are on can be chosen.
    func controller(_ words: [String]) throws(MachineError) -> [[String]] {
        let options = try VBoxOptions(words, flags: ["remove"])
        try options.expect("storagectl", ["name", "add", "controller", "portcount", "hostiocache", "bootable", "remove"])
        let name = try options.only("storagectl", "machine")
        if options.has("remove") { throw VBoxOptions.missing("a board without its controllers") }
        switch options.value("add")?.lowercased() {
        case nil, "floppy": return []
        case "ide": return [["set", name, "--disk-interface", "ide"]]
        case "virtio", "virtio-scsi": return [["set", name, "--disk-interface", "virtio"]]
        case let bus?: throw VBoxOptions.missing("\(bus.uppercased()) controllers: use ide or virtio")
        }
    }

    func attach(_ words: [String]) throws(MachineError) -> [[String]] {
        let options = try VBoxOptions(words, flags: ["forceunmount"])
        try options.expect(
            "storageattach",
            ["storagectl", "port", "device", "type", "medium", "mtype", "forceunmount", "nonrotational", "discard", "hotpluggable"])
        let name = try options.only("storageattach", "machine")
        let settings = try store.entry(name).runSettings()
        let (port, device) = (Int(options.value("port") ?? "0") ?? 0, Int(options.value("device") ?? "0") ?? 0)
        guard (0...30).contains(port), (0...1).contains(device) else { throw .usage("vbox: there is no port \(port), device \(device).") }
        guard let medium = options.value("medium") else { throw .usage("vbox: 'storageattach' needs --medium.") }
        if medium.hasPrefix("host:") || medium.hasPrefix("iscsi") || medium == "additions" {
            throw VBoxOptions.missing("the medium '\(medium)'")
        }
        let isNone = medium == "none" || medium == "emptydrive"
        let isCD = settings.diskInterface == .ide && port == 1 && device == 0
        switch options.value("type")?.lowercased() ?? (isCD ? "dvddrive" : "hdd") {
        case "fdd": return [["set", name] + (isNone ? ["--no-floppy"] : ["--floppy", medium])]
        case "dvddrive": return [["set", name] + (isNone ? ["--no-cdrom"] : ["--cdrom", medium])]
        case "hdd": return [["set", name] + (try disk(settings, port, device, isNone ? nil : medium, options.value("mtype")))]
        case let type: throw .usage("vbox: 'storageattach --type \(type)' is not known; use hdd, dvddrive or fdd.")
        }
    }

    private func disk(_ settings: RunSettings, _ port: Int, _ device: Int, _ medium: String?, _ type: String?) throws(MachineError)
        -> [String]
    {
        var index = port
        if settings.diskInterface == .ide {
            guard !(port == 1 && device == 0) else { throw VBoxOptions.missing("a disk in the place of the CD drive") }
            index = port == 1 ? 2 : device
        }
        var disks = settings.disks
        var access = (0..<disks.count).map { settings.diskAccess.indices.contains($0) ? settings.diskAccess[$0] : .writable }
        if let medium {
            guard index <= disks.count else {
                throw .usage("vbox: disks are filled in turn; the next free place is number \(disks.count + 1).")
            }
            let mode: RunSettings.DiskAccess
            switch type?.lowercased() {
            case nil, "normal", "writethrough": mode = .writable
            case "immutable": mode = .disposable
            case "readonly": mode = .readOnly
            case let type?: throw VBoxOptions.missing("the medium type '\(type)'")
            }
            if index == disks.count {
                disks.append(medium)
                access.append(mode)
            } else {
                (disks[index], access[index]) = (medium, mode)
            }
        } else {
            guard disks.indices.contains(index) else { throw .usage("vbox: there is no disk in that place.") }
            disks.remove(at: index)
            access.remove(at: index)
        }
        guard !disks.isEmpty else { return ["--no-disk", "--no-disk-access"] }
        let words = disks.flatMap { ["--disk", $0] }
        return words + (access.contains { $0 != .writable } ? access.flatMap { ["--disk-access", $0.rawValue] } : ["--no-disk-access"])
    }
}
