/// How far a build is, read from what `mmdebstrap`, apt and dpkg say.
struct DebianProgress: Equatable, Sendable {
    /// In the order in which they come, each with the percentage at which it begins; the last ends at 100.
    enum Step: Int, CaseIterable, Sendable {
        case lists, fetchBase, base, fetch, packages, ramDisk, checksums, archive, unpack, fileSystem, bootLoader

        var begins: Double {
            switch self {
            case .lists: 0
            case .fetchBase: 4
            case .base: 12
            case .fetch: 26
            case .packages: 48
            case .ramDisk: 74
            case .checksums: 78
            case .archive: 82
            case .unpack: 86
            case .fileSystem: 92
            case .bootLoader: 98
            }
        }

        var title: String {
            switch self {
            case .lists: "Fetching Debian's lists of packages"
            case .fetchBase: "Fetching the base system"
            case .base: "Installing the base system"
            case .fetch: "Fetching kernel and packages"
            case .packages: "Installing kernel and packages"
            case .ramDisk: "Making the initial RAM disk"
            case .checksums: "Password, boot loader, checksums"
            case .archive: "Packing"
            case .unpack: "Unpacking"
            case .fileSystem: "Filling the file system"
            case .bootLoader: "Writing the boot loader"
            }
        }
    }

    private(set) var step = Step.lists
    /// Packages that apt has announced, and those that this step has dealt with.
    private var expected = 0, done = 0

    /// 0 to 100.
    var percent: Double {
        let end = Step(rawValue: step.rawValue + 1)?.begins ?? 100
        // Each package is unpacked, then set up.
        let whole = step == .base || step == .packages ? expected * 2 : expected
        guard whole > 0 else { return step.begins }
        return step.begins + (end - step.begins) * min(1, Double(done) / Double(whole))
    }

    mutating func enter(_ next: Step) {
        guard next.rawValue > step.rawValue else { return }
        if next != .base && next != .packages { expected = 0 }
        (step, done) = (next, 0)
    }

    mutating func read(_ line: some StringProtocol) {
        if line.hasPrefix("I: downloading packages with apt") { return enter(.fetchBase) }
        if line.hasPrefix("I: extracting archives") { return enter(.base) }
        if line.hasPrefix("I: installing remaining packages") { return enter(.fetch) }
        if line.hasPrefix("I: creating tarball") { return enter(.archive) }
        if line.hasPrefix("I: running --customize-hook") { return enter(.checksums) }
        if line.hasPrefix("update-initramfs: Generating") { return enter(.ramDisk) }
        switch step {
        case .fetchBase, .fetch:
            if let count = DebianProgress.announced(line) { expected = count }
            if line.hasPrefix("Get:") { done += 1 }
            if step == .fetch, line.hasPrefix("Fetched ") { enter(.packages) }
        case .base, .packages:
            if line.hasPrefix("Unpacking ") || line.hasPrefix("Setting up ") { done += 1 }
        default: break
        }
    }

    /// `0 upgraded, 69 newly installed, 0 to remove and 0 not upgraded.`
    private static func announced(_ line: some StringProtocol) -> Int? {
        let words = line.split(separator: " ")
        guard line.contains(" newly installed"), let at = words.firstIndex(of: "newly"), at > 0 else { return nil }
        return Int(words[at - 1])
    }
}
