import Foundation
import Hardware

/// The floppy of a snapshot: a copy of all of it, as there are no images that stand on others of that size.
///
/// A restore leaves the user's image alone: when it is not as it was, the machine gets an image of its own.
enum SnapshotFloppy {
    /// More than the largest floppy.
    static let mostBytes = 4 << 20

    /// From the machine's folder.
    static func path(_ id: String) -> String { "\(SnapshotTree.folderName)/\(id)-floppy.img" }

    /// nil: it cannot be read, or is too large for one.
    static func contents(_ medium: any Medium) -> [UInt8]? {
        guard medium.sectorBytes == 512, medium.sectorCount <= UInt64(mostBytes / 512) else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(medium.sectorCount) * 512)
        return bytes.withUnsafeMutableBytes { medium.read(sector: 0, into: $0) } ? bytes : nil
    }

    /// Of an image that nobody writes.
    /// - Parameter path: from the machine's folder.
    /// - Returns: nil: there is no such file.
    /// - Throws: `.badInput` when it is no floppy, or somebody has it open for writing.
    static func contents(_ path: String, in folder: String) throws(MachineError) -> [UInt8]? {
        let whole = path.hasPrefix("/") ? path : folder + "/" + path
        guard access(whole, F_OK) == 0 else { return nil }
        do {
            return contents(try FloppyImage.open(path: whole, access: .readOnly))
        } catch {
            throw .badInput(error.description)
        }
    }

    /// Of the machine as its settings are; what is written to a disposable one is not on it.
    static func contents(_ settings: MachineSettings, in folder: String) throws(MachineError) -> [UInt8]? {
        guard let path = settings.run.floppy, !settings.run.disposable else { return nil }
        return try contents(path, in: folder)
    }

    static func write(_ bytes: [UInt8], _ path: String, in folder: String) throws(MachineError) {
        try WholeFile.write(bytes, to: folder + "/" + path, what: "floppy of the snapshot")
        HostFile.syncFolder(of: folder + "/" + path)
    }
}

extension SavedState {
    /// What of a machine must not change while it is saved, from its folder.
    static func watched(_ settings: RunSettings) -> [String] {
        settings.disks + (settings.disposable ? [] : [settings.floppy].compactMap { $0 })
    }
}
