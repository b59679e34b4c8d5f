import Hardware

/// The media that a run's settings name, opened, and where they go.
struct MediaShelf {
    var bays = MediaBays()
    /// Paths by bay, for the front end.
    var paths: [Bay: String] = [:]
    /// CMOS type of drive A: what the medium needs, 1.44M without one.
    var floppyType: UInt8 = 4

    /// Where the disks go, in order.
    static func diskBays(_ interface: RunSettings.DiskInterface) -> [Bay] {
        switch interface {
        case .ide: [.ide0Master, .ide0Slave, .ide1Slave]
        case .virtio: Bay.virtioDisks
        }
    }

    /// - Throws: `.badInput`; nothing stays open.
    init(_ settings: RunSettings) throws(MachineError) {
        if let path = settings.floppy {
            let medium = try MediaShelf.open(.floppyA, path, disposable: settings.disposable)
            // Types beyond 5 are formats that a 360K drive reads.
            if let geometry = FloppyGeometry(sectorCount: medium.sectorCount) { floppyType = geometry.cmosType > 5 ? 1 : geometry.cmosType }
            put(medium, .floppyA, path)
        }
        for (index, (bay, path)) in zip(MediaShelf.diskBays(settings.diskInterface), settings.disks).enumerated() {
            let access = settings.access(ofDisk: index)
            let medium = try MediaShelf.open(bay, path, access: access.mediaAccess)
            put(access == .writeThrough ? WriteThrough(medium) : medium, bay, path)
        }
        if let path = settings.cdrom { put(try MediaShelf.open(.ide1Master, path, disposable: false), .ide1Master, path) }
    }

    private mutating func put(_ medium: any Medium, _ bay: Bay, _ path: String) {
        bays[bay] = medium
        paths[bay] = path
    }

    /// - Throws: `.badInput` with the medium's own sentence.
    static func open(_ bay: Bay, _ path: String, disposable: Bool) throws(MachineError) -> any Medium {
        try open(bay, path, access: disposable ? .disposable : .readWrite)
    }

    private static func open(_ bay: Bay, _ path: String, access: MediaAccess) throws(MachineError) -> any Medium {
        do {
            switch bay {
            case .floppyA, .floppyB: return try FloppyImage.open(path: path, access: access)
            case .ide1Master: return try ISOImage(path: path)
            default: return try DiskImage.open(path: path, access: access)
            }
        } catch {
            throw .badInput(error.description)
        }
    }
}

extension RunSettings.DiskAccess {
    fileprivate var mediaAccess: MediaAccess {
        switch self {
        case .writable, .writeThrough: .readWrite
        case .disposable: .disposable
        case .readOnly: .readOnly
        }
    }
}
