import Glibc

/// A new machine as the wizard has it, without a screen: what is asked on each page, what is wrong with the answers, what comes out.
public struct MachineDraft: Equatable, Sendable {
    /// Pages in turn.
    public enum Step: Int, CaseIterable, Sendable {
        case system, hardware, disk, media, summary

        public var title: String {
            switch self {
            case .system: "Name and system"
            case .hardware: "Hardware"
            case .disk: "Disk"
            case .media: "Media"
            case .summary: "Summary"
            }
        }

        /// Settings that the page shows, beside what is the draft's own (name, disk).
        public var fields: [SettingField] {
            let keys: [String] =
                switch self {
                case .system: ["general.os-type"]
                case .hardware: ["system.memory", "system.cpus", "system.cpu-model", "display.video-memory", "storage.disk-interface"]
                case .disk: []
                case .media: ["storage.cdrom", "storage.floppy", "kernel.image", "kernel.initrd", "kernel.append"]
                case .summary: []
                }
            return keys.compactMap(SettingField.named)
        }
    }

    public enum DiskChoice: String, CaseIterable, Sendable {
        case new, existing, none

        public var title: String {
            switch self {
            case .new: "make a new disk"
            case .existing: "use a disk image that is there"
            case .none: "no disk"
            }
        }
    }

    public static let diskBytes: ClosedRange<UInt64> = (1 << 20)...(2 << 40)

    public var name = ""
    /// The name was typed; otherwise it follows the OS type.
    public var nameIsOwn = false
    public private(set) var settings: MachineSettings
    public var diskChoice: DiskChoice
    /// As typed: `8G`.
    public var diskSize: String
    public var diskSizeIsOwn = false
    public var diskFormat = NewDisk.Format.dynamic
    /// Of `existing`.
    public var diskPath = ""
    /// Keys that the user has set: they stay when the OS type changes.
    public private(set) var ownKeys: Set<String> = []

    public init(_ type: OSType = .other) {
        settings = type.settings
        diskChoice = type.diskBytes > 0 ? .new : .none
        diskSize = ByteSize.exact(type.diskBytes)
    }

    // MARK: Answers

    public var osType: OSType { OSType.named(settings.osType) ?? .other }

    /// Takes the type's defaults for everything that the user has not set.
    /// - Parameter taken: names that there are.
    public mutating func choose(_ type: OSType, taken: some Collection<String>) {
        var fresh = type.settings
        for key in ownKeys {
            guard let field = SettingField.named(key) else { continue }
            // Kept because it was good before: a value depends on no other setting.
            if let kept = try? field.setting(field.get(settings), in: fresh) { fresh = kept }
        }
        settings = fresh
        if !diskSizeIsOwn {
            diskSize = ByteSize.exact(type.diskBytes)
            if diskChoice != .existing { diskChoice = type.diskBytes > 0 ? .new : .none }
        }
        if !nameIsOwn { name = MachineDraft.freeName(type.id, taken: taken) }
    }

    /// `linux`, `linux 2`, `linux 3`…
    public static func freeName(_ wish: String, taken: some Collection<String>) -> String {
        guard taken.contains(wish) else { return wish }
        var number = 2
        while taken.contains("\(wish) \(number)") { number += 1 }
        return "\(wish) \(number)"
    }

    /// - Throws: the field's sentence; nothing is changed.
    public mutating func set(_ field: SettingField, to text: String) throws(MachineError) {
        try field.set(text, in: &settings)
        ownKeys.insert(field.key)
    }

    // MARK: What is wrong

    /// Sentences by field: a setting's key, or `name`, `disk.size`, `disk.path`. Empty: the page is good.
    /// - Parameter taken: names that there are.
    public func problems(in step: Step, taken: some Collection<String>) -> [String: String] {
        var problems: [String: String] = [:]
        switch step {
        case .system:
            if let problem = MachineName.problem(name) {
                problems["name"] = problem
            } else if taken.contains(name) {
                problems["name"] = "There is already a machine '\(name)'."
            }
        case .disk:
            if diskChoice == .new {
                do {
                    _ = try ByteSize.parse(diskSize, what: "The size", in: MachineDraft.diskBytes)
                } catch {
                    problems["disk.size"] = error.description
                }
            }
            if diskChoice == .existing { problems["disk.path"] = MachineDraft.problem(ofFile: diskPath, missing: "Which image?") }
        case .media:
            for field in step.fields {
                guard case .file = field.kind else { continue }
                let path = field.get(settings)
                if !path.isEmpty { problems[field.key] = MachineDraft.problem(ofFile: path, missing: "") }
            }
        case .hardware, .summary: break
        }
        if step == .media || step == .summary, problems.isEmpty {
            do {
                try result.settings.validate()
            } catch {
                problems[step == .media ? "kernel.image" : "summary"] = error.description
            }
        }
        return problems
    }

    private static func problem(ofFile path: String, missing: String) -> String? {
        if path.isEmpty { return missing }
        guard access(path, R_OK) == 0 else { return "'\(path)' cannot be opened: \(WholeFile.reason())." }
        return nil
    }

    // MARK: What comes out

    /// Paths absolute when the user's were: relative ones mean the folder where the user is.
    public var result: (settings: MachineSettings, disk: NewDisk?) {
        var final = settings
        switch diskChoice {
        case .new:
            guard let bytes = try? ByteSize.parse(diskSize) else { return (final, nil) }
            return (final, NewDisk(bytes: bytes, format: diskFormat))
        case .existing:
            final.run.disks.insert(diskPath, at: 0)
            return (final, nil)
        case .none: return (final, nil)
        }
    }

    /// The command that does the same.
    public var commandLine: String { CommandText.create(name, result.settings, disk: result.disk) }

    /// Makes the machine.
    /// - Parameter current: the folder where relative paths begin.
    /// - Throws: as `MachineStore.create`.
    @discardableResult
    public func create(in store: MachineStore, current: String) throws(MachineError) -> MachineEntry {
        let (settings, disk) = result
        return try store.create(name, settings.mappingPaths { HostPath.absolute($0, from: current) }, disk: disk)
    }
}
