import Foundation
import Hardware
import Primitives

/// A snapshot as one file: sections as in a state file (`StateFormat`), under another heading.
///
///     META  a `StateValue`: name, description, screen, disks
///     SETT  the text of `machine.toml`
///     DBLK  a piece of a disk: number of the disk (32 bits), 0 (32), first byte (64), the bytes; ascending, zeros are left out
///     FLOP  a piece of the floppy, where there is one, as in SFIL; no older reader knows it
///     SFIL  a piece of the state file, where there is one: first byte (64), the bytes; ascending, without gaps
///     SUMS  digest of everything before, 16 digits
enum SnapshotFile {
    static let magic = Array("VITRINE SNAP\n\0\0\0".utf8)
    static let pieceBytes = 256 << 10
    static let mostDisks = 16

    struct Disk: Codable, Equatable, Sendable {
        var bytes: UInt64
        /// The ending that the image's name had: `vdi`.
        var ending: String
    }

    struct Meta: Codable, Equatable, Sendable {
        var program = StateInfo.programVersion
        var machine = ""
        var name = ""
        var description = ""
        /// Seconds since 1970.
        var taken: Int64 = 0
        var state = "off"
        var screen: [String] = []
        var disks: [Disk] = []
        /// Of the state file; 0: there is none.
        var memoryBytes: UInt64 = 0
        /// Bytes of disks that are in the file.
        var dataBytes: UInt64 = 0
        /// nil: there was none.
        var floppyBytes: UInt64?
    }

    /// Who reads or writes both digest the same.
    struct Sum {
        private var digest = Digest()
        mutating func add(_ kind: String, _ bytes: [UInt8]) {
            digest.combine(Array(kind.utf8))
            digest.combine(bytes)
        }
        var value: [UInt8] { Array(digest.value.utf8) }
    }
}

/// Writes one.
struct SnapshotExport {
    private let writer: StateWriter
    private var sum = SnapshotFile.Sum()
    private let progress: DiskCopy.Progress
    private var done: UInt64 = 0
    private var total: UInt64 = 0

    /// - Parameters:
    ///   - layers: the disks as the guest sees them.
    ///   - memory: the state file.
    /// - Throws: `.failed`; nothing is left then.
    static func write(
        _ path: String, _ meta: SnapshotFile.Meta, settings: String, layers: [any ImageLayer], memory: String?, floppy: [UInt8]? = nil,
        progress: @escaping DiskCopy.Progress
    ) throws(MachineError) {
        let writer = try StateWriter(path, magic: SnapshotFile.magic, oldest: floppy == nil ? 1 : StateFormat.sharingVersion)
        var export = SnapshotExport(writer: writer, progress: progress)
        do throws(MachineError) {
            try export.write(meta, settings, layers, memory, floppy)
            guard access(path, F_OK) != 0 else { throw .failed("There is already a file '\(path)'.") }
            try export.writer.finish()
        } catch {
            export.writer.cancel()
            throw error
        }
    }

    private init(writer: StateWriter, progress: @escaping DiskCopy.Progress) { (self.writer, self.progress) = (writer, progress) }

    private mutating func put(_ kind: String, _ bytes: [UInt8]) throws(MachineError) {
        sum.add(kind, bytes)
        try writer.section(kind, bytes: bytes)
    }

    private mutating func write(
        _ meta: SnapshotFile.Meta, _ settings: String, _ layers: [any ImageLayer], _ memory: String?, _ floppy: [UInt8]?
    ) throws(MachineError) {
        var meta = meta
        var state: HostFile?
        if let memory {
            do {
                state = try HostFile(path: memory, writable: false)
            } catch {
                throw .badInput(error.description)
            }
        }
        meta.memoryBytes = state?.bytes ?? 0
        meta.floppyBytes = floppy.map { UInt64($0.count) }
        for layer in layers {
            var sector: UInt64 = 0
            while sector < layer.sectorCount {
                guard let extent = layer.visibleExtent(sector, limit: layer.sectorCount - sector)?.extent, extent.sectors > 0 else {
                    throw .failed("'\(layer.path)' cannot be read; 'vitrine disk check' says what is wrong with it.")
                }
                if extent.kind == .data { meta.dataBytes += extent.sectors * 512 }
                sector += extent.sectors
            }
        }
        total = meta.dataBytes + meta.memoryBytes
        guard let head = try? StateEncoder.encode(meta) else { throw .failed("The snapshot cannot be written.") }
        try put("META", head.encoded)
        try put("SETT", Array(settings.utf8))
        for (number, layer) in layers.enumerated() { try disk(number, layer) }
        for at in stride(from: 0, to: floppy?.count ?? 0, by: SnapshotFile.pieceBytes) {
            guard let floppy else { break }
            var piece = [UInt8].zeros(8)
            piece.putLittle(0, UInt64(at), 8)
            try put("FLOP", piece + floppy[at..<min(at + SnapshotFile.pieceBytes, floppy.count)])
        }
        if let state { try file(state) }
        try writer.section("SUMS", bytes: sum.value)
    }

    private mutating func step(_ bytes: Int) throws(MachineError) {
        done += UInt64(bytes)
        guard progress(min(done, total), total) else { throw DiskCopy.cancelled }
    }

    private mutating func disk(_ number: Int, _ layer: any ImageLayer) throws(MachineError) {
        var sector: UInt64 = 0
        while sector < layer.sectorCount {
            let limit = min(layer.sectorCount - sector, UInt64(SnapshotFile.pieceBytes / 512))
            guard let extent = layer.visibleExtent(sector, limit: limit)?.extent, extent.sectors > 0 else {
                throw .failed("'\(layer.path)' cannot be read.")
            }
            if extent.kind == .data {
                let count = Int(extent.sectors) * 512
                var piece = [UInt8].zeros(16 + count)
                piece.putLittle(0, UInt64(number))
                piece.putLittle(8, sector * 512, 8)
                errno = EIO
                guard piece.withUnsafeMutableBytes({ layer.read(sector: sector, into: UnsafeMutableRawBufferPointer(rebasing: $0[16...])) }) else {
                    throw .failed("'\(layer.path)' cannot be read: \(WholeFile.reason()).")
                }
                if !piece.withUnsafeBytes({ UnsafeRawBufferPointer(rebasing: $0[16...]).isZero }) { try put("DBLK", piece) }
                try step(count)
            }
            sector += extent.sectors
        }
    }

    private mutating func file(_ file: HostFile) throws(MachineError) {
        var at: UInt64 = 0
        while at < file.bytes {
            let count = Int(min(UInt64(SnapshotFile.pieceBytes), file.bytes - at))
            var piece = [UInt8].zeros(8 + count)
            piece.putLittle(0, at, 8)
            guard piece.withUnsafeMutableBytes({ file.read(at, into: UnsafeMutableRawBufferPointer(rebasing: $0[8...])) }) else {
                throw .failed("'\(file.path)' cannot be read: \(WholeFile.reason()).")
            }
            try put("SFIL", piece)
            try step(count)
            at += UInt64(count)
        }
    }
}

/// Reads one. It trusts nothing in it.
struct SnapshotImport {
    let meta: SnapshotFile.Meta
    let settings: String
    private let reader: StateReader
    private var sum = SnapshotFile.Sum()

    /// Head and settings.
    /// - Throws: `.badInput`.
    init(_ path: String) throws(MachineError) {
        reader = try StateReader(path, magic: SnapshotFile.magic)
        guard let (kind, bytes) = try reader.next(), kind == "META" else { throw reader.damaged("it does not begin with section META") }
        sum.add(kind, bytes)
        do throws(StateDecoder.Mismatch) {
            meta = try StateDecoder.decode(SnapshotFile.Meta.self, from: try StateReader.value(bytes))
        } catch {
            throw reader.damaged("section META: \(error.reason)")
        }
        guard let (second, text) = try reader.next(), second == "SETT" else { throw reader.damaged("it has no settings") }
        sum.add(second, text)
        guard let settings = String(validating: text, as: UTF8.self) else { throw reader.damaged("its settings are no text") }
        self.settings = settings
        guard meta.disks.count <= SnapshotFile.mostDisks, meta.floppyBytes ?? 0 <= UInt64(SnapshotFloppy.mostBytes),
            meta.screen.count <= 1024, meta.name.utf8.count <= 200,
            meta.disks.allSatisfy({ $0.bytes >= 512 && $0.bytes % 512 == 0 && $0.bytes <= NewImage.sizes.upperBound })
        else { throw reader.damaged("what it says of itself cannot be") }
    }

    /// What a disk becomes: as it was where that can be made in one file.
    func format(ofDisk index: Int) -> NewImage.Format {
        switch meta.disks[index].ending {
        case "qcow2": .qcow2
        case "vmdk": .vmdk
        case "vhd": meta.disks[index].bytes <= VHDHeader.largest ? .vhd : .dynamic
        case "img", "raw": .raw
        default: .dynamic
        }
    }

    /// Makes the disks and the state file under names that are not there yet.
    /// - Throws: `.badInput` for a damaged file, `.failed`; the caller removes what was made.
    mutating func unpack(disks: [String], memory: String, floppy: String, progress: DiskCopy.Progress) throws(MachineError) {
        var floppyData: [UInt8] = []
        var layers: [any ImageLayer] = []
        for (index, path) in disks.enumerated() {
            try NewImage.make(path, bytes: max(meta.disks[index].bytes, NewImage.sizes.lowerBound), format: format(ofDisk: index))
            layers.append(try DiskCopy.open(path, writable: true))
        }
        let state: HostFile?
        do {
            state = meta.memoryBytes > 0 ? try HostFile(creating: memory) : nil
        } catch {
            throw .failed(error.description)
        }
        var (last, lastEnd, at, done) = (0, UInt64(0), UInt64(0), UInt64(0)), isWhole = false
        while let (kind, bytes) = try reader.next() {
            switch kind {
            case "DBLK":
                let number = Int(bytes.little(0)), first = bytes.little(8, 8), count = bytes.count - 16
                guard count > 0, count % 512 == 0, layers.indices.contains(number), first % 512 == 0, number > last || number == last && first >= lastEnd,
                    first <= meta.disks[number].bytes, UInt64(count) <= meta.disks[number].bytes - first
                else { throw reader.damaged("a piece of a disk lies where it cannot") }
                (last, lastEnd) = (number, first + UInt64(count))
                errno = EIO
                guard bytes.withUnsafeBytes({ layers[number].write(sector: first / 512, from: UnsafeRawBufferPointer(rebasing: $0[16...])) }) else {
                    throw .failed("'\(disks[number])' cannot be written: \(WholeFile.reason()).")
                }
                done += UInt64(count)
            case "SFIL":
                guard let state, bytes.count > 8, bytes.little(0, 8) == at, UInt64(bytes.count - 8) <= meta.memoryBytes - at else {
                    throw reader.damaged("a piece of the memory lies where it cannot")
                }
                guard bytes.withUnsafeBytes({ state.write(at, from: UnsafeRawBufferPointer(rebasing: $0[8...])) }) else {
                    throw .failed("'\(memory)' cannot be written: \(WholeFile.reason()).")
                }
                at += UInt64(bytes.count - 8)
                done += UInt64(bytes.count - 8)
            case "FLOP":
                guard bytes.count > 8, bytes.little(0, 8) == UInt64(floppyData.count),
                    UInt64(bytes.count - 8) <= (meta.floppyBytes ?? 0) - UInt64(floppyData.count)
                else { throw reader.damaged("a piece of the floppy lies where it cannot") }
                floppyData += bytes[8...]
            case "SUMS":
                guard bytes == sum.value else { throw reader.damaged("a part of it is missing, or of another file") }
                isWhole = true
            default: continue
            }
            if kind != "SUMS" { sum.add(kind, bytes) }
            let total = meta.dataBytes &+ meta.memoryBytes
            guard progress(min(done, total), total) else { throw DiskCopy.cancelled }
        }
        guard isWhole, at == meta.memoryBytes, UInt64(floppyData.count) == meta.floppyBytes ?? 0 else { throw reader.damaged("a part of it is missing") }
        for layer in layers { guard layer.flush() else { throw .failed("'\(layer.path)' cannot be written: \(WholeFile.reason()).") } }
        if meta.floppyBytes != nil { try WholeFile.write(floppyData, to: floppy, what: "floppy of the snapshot") }
        guard let state else { return }
        guard state.flush() else { throw .failed("'\(memory)' cannot be written: \(WholeFile.reason()).") }
        // Better now than when it is restored.
        let check = try StateReader(memory)
        while let (kind, _) = try check.next() { if kind == "REFS" { throw check.damaged("it stands on files that are not there") } }
    }
}
