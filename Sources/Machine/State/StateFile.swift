import Foundation
import Hardware
import Primitives

/// A state file: what it is made of. `Machine.docc/StateFormat.md` has the whole story.
///
///     header, 32 bytes     "VITRINE STATE\n\0\0", version (16 bits), oldest reader that can (16), zeros (8 bytes), CRC-32 of these
///     section, 32 bytes    four letters, flags (32 bits, 0), stored bytes (64), bytes unpacked (64), zeros (32), CRC-32 of these
///                          then the stored bytes: one zstd frame with checksum
///     …
///     section END          empty; what follows is not read
///
///     INFO  a `StateValue`: what a list shows without reading the rest
///     BORD  processors, chips, wiring, by name          RUNR  what surrounds the board: keys being typed and the like
///     DISK  sectors that were written to a disposable disk: bay (32 bits), count (32), sector numbers (64 each), the sectors
///     PAGE  pages of memory: count (32 bits), page numbers (32 each), the pages
///     REFS  a `StateValue`: pages that lie in another file (`SharedPages`)
enum StateFormat {
    static let magic = Array("VITRINE STATE\n\0\0".utf8)
    /// Of what this program writes, and the newest that it reads.
    static let version: UInt16 = 2
    /// What a file that stands on others asks of its reader.
    static let sharingVersion: UInt16 = 2
    static let headerBytes = 32
    static let pageBytes = 4096
    /// Pages in a section at most.
    static let pagesPerSection = 64
    /// Bytes of a section unpacked at most, by kind; sections of other kinds are passed over.
    static func limit(_ kind: String) -> Int? {
        switch kind {
        case "INFO": 1 << 20
        case "BORD": 48 << 20
        case "RUNR": 4 << 20
        case "PAGE": 4 + pagesPerSection * (4 + pageBytes)
        case "REFS": 17 << 20
        case "DISK": 8 + DisposableLayer.sectorsInPiece * (8 + 2048)
        // Of snapshots as files.
        case "META", "SETT": 1 << 20
        case "DBLK", "SFIL", "FLOP": 16 + SnapshotFile.pieceBytes
        case "SUMS": 64
        case "END ": 0
        default: nil
        }
    }

    /// - Parameter oldest: of the readers that can read it.
    static func header(_ magic: [UInt8] = magic, oldest: UInt16 = 1) -> [UInt8] {
        var bytes = magic
        for word in [version, oldest] { bytes += [UInt8(truncatingIfNeeded: word), UInt8(truncatingIfNeeded: word >> 8)] }
        bytes += [UInt8](repeating: 0, count: 8)
        return sealed(bytes)
    }

    static func section(_ kind: String, stored: Int, raw: Int) -> [UInt8] {
        var bytes = Array(kind.utf8) + [0, 0, 0, 0]
        for number in [UInt64(stored), UInt64(raw)] { withUnsafeBytes(of: number.littleEndian) { bytes += $0 } }
        bytes += [0, 0, 0, 0]
        return sealed(bytes)
    }

    private static func sealed(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        withUnsafeBytes(of: PNG.crc32(bytes).littleEndian) { bytes += $0 }
        return bytes
    }

    static func isSealed(_ bytes: [UInt8]) -> Bool { bytes.count == headerBytes && sealed(Array(bytes.dropLast(4))) == bytes }
}

/// Writes a state file: under a name of its own first, so that what has the final name is whole.
///
/// Not for two threads at once.
final class StateWriter {
    let path: String
    private let temporary: String
    private let recorder = FileRecorder.current
    private var descriptor: Int32
    private let zstd: Zstd
    private var chunk: [UInt8] = []
    private var numbers: [UInt32] = []
    /// Bytes written, pages among them.
    private(set) var bytes: UInt64 = 0
    private(set) var pages = 0

    /// Level 1, the fastest: the guest waits for what is not packed yet. Others have not been measured.
    static let level: Int32 = 1
    /// Of a machine that goes on meanwhile. Of a Debian guest at its login (101 MB) level 1 makes 41 MB in 182 ms of one processor, -1 44 MB in
    /// 150 ms, -10 59 MB in 91 ms, -20 66 MB in 70 ms.
    static let liveLevel: Int32 = -10
    /// The host begins to write so many bytes before it is waited for.
    private static let stretch: UInt64 = 4 << 20
    private var begunWriting: UInt64 = 0

    /// - Throws: `.failed`; nothing is left behind.
    init(_ path: String, magic: [UInt8] = StateFormat.magic, oldest: UInt16 = 1) throws(MachineError) {
        self.path = path
        temporary = path + ".\(getpid()).tmp"
        zstd = Zstd(level: StateWriter.level)
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .failed("The state file '\(path)' cannot be written: \(WholeFile.reason()).") }
        recorder?.note(.create(path: temporary))
        try put(StateFormat.header(magic, oldest: oldest))
    }

    deinit { cancel() }

    /// Nothing is left behind.
    func cancel() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
        HostFile.unlink(temporary)
    }

    func section(_ kind: String, _ value: StateValue) throws(MachineError) { try section(kind, bytes: value.encoded) }

    func section(_ kind: String, bytes raw: [UInt8]) throws(MachineError) {
        guard let packed = raw.withUnsafeBytes({ zstd.compress($0) }) else { throw .failed("The state file '\(path)' cannot be packed.") }
        try self.packed(kind, packed, raw: raw.count)
    }

    /// A section that somebody else has packed.
    func packed(_ kind: String, _ packed: [UInt8], raw: Int) throws(MachineError) {
        try put(StateFormat.section(kind, stored: packed.count, raw: raw))
        try put(packed)
    }

    func sectors(_ bay: Bay, _ numbers: [UInt64], _ data: [UInt8]) throws(MachineError) {
        var raw: [UInt8] = []
        for word in [UInt32(bay.rawValue), UInt32(numbers.count)] { withUnsafeBytes(of: word.littleEndian) { raw += $0 } }
        for number in numbers { withUnsafeBytes(of: number.littleEndian) { raw += $0 } }
        try section("DISK", bytes: raw + data)
    }

    /// A page that is zero is left out.
    func page(_ number: Int, _ page: UnsafeRawBufferPointer) throws(MachineError) {
        guard !StateWriter.isZero(page) else { return }
        numbers.append(UInt32(truncatingIfNeeded: number))
        chunk += page
        pages += 1
        if numbers.count == StateFormat.pagesPerSection { try flushPages() }
    }

    static func isZero(_ page: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        while at + 32 <= page.count {
            let words = page.loadUnaligned(fromByteOffset: at, as: SIMD4<UInt64>.self)
            if words != SIMD4() { return false }
            at += 32
        }
        return true
    }

    private func flushPages() throws(MachineError) {
        guard !numbers.isEmpty else { return }
        var raw: [UInt8] = []
        raw.reserveCapacity(4 + numbers.count * (4 + StateFormat.pageBytes))
        withUnsafeBytes(of: UInt32(numbers.count).littleEndian) { raw += $0 }
        for number in numbers { withUnsafeBytes(of: number.littleEndian) { raw += $0 } }
        raw += chunk
        numbers.removeAll(keepingCapacity: true)
        chunk.removeAll(keepingCapacity: true)
        try section("PAGE", bytes: raw)
    }

    /// The file is whole, on the host's medium, and has its name.
    func finish() throws(MachineError) {
        try flushPages()
        try put(StateFormat.section("END ", stored: 0, raw: 0))
        var failure: Int32 = 0
        if fsync(descriptor) != 0 { failure = errno }
        if close(descriptor) != 0, failure == 0 { failure = errno }
        descriptor = -1
        recorder?.note(.sync(path: temporary))
        if failure == 0, !HostFile.rename(temporary, path) { failure = errno }
        guard failure == 0 else {
            unlink(temporary)
            throw .failed("The state file '\(path)' cannot be written: \(WholeFile.reason(failure)).")
        }
        FolderWork.sync(WholeFile.directory(of: path))
    }

    private func put(_ data: [UInt8]) throws(MachineError) {
        guard WholeFile.writeAll(descriptor, data) else {
            let reason = WholeFile.reason()
            cancel()
            throw .failed("The state file '\(path)' cannot be written: \(reason).")
        }
        recorder?.note(.write(path: temporary, offset: bytes, bytes: data))
        bytes += UInt64(data.count)
        if bytes - begunWriting >= StateWriter.stretch {
            HostFile.beginWriting(descriptor, begunWriting, bytes - begunWriting)
            begunWriting = bytes
        }
    }
}

/// Reads a state file section by section. It trusts nothing in it: sizes are looked at before anything is allocated, and everything has a checksum.
final class StateReader {
    let path: String
    let version: UInt16
    private let descriptor: Int32
    private let zstd = Zstd(level: 1)
    private var left: UInt64

    /// - Throws: `.badInput` when it cannot be opened or is no state file that this program reads.
    init(_ path: String, magic: [UInt8] = StateFormat.magic) throws(MachineError) {
        self.path = path
        let what = magic == StateFormat.magic ? "saved state" : "a snapshot"
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { throw .badInput("The state file '\(path)' cannot be opened: \(WholeFile.reason()).") }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .badInput("'\(path)' is not a file with \(what).")
        }
        left = UInt64(max(0, facts.st_size))
        var header: [UInt8] = []
        if let bytes = StateReader.read(descriptor, StateFormat.headerBytes) { header = bytes }
        left -= min(left, UInt64(header.count))
        guard header.starts(with: magic), StateFormat.isSealed(header) else {
            close(descriptor)
            throw .badInput("'\(path)' is not a file with \(what).")
        }
        version = UInt16(header[16]) | UInt16(header[17]) << 8
        let oldest = UInt16(header[18]) | UInt16(header[19]) << 8
        guard oldest <= StateFormat.version, version > 0 else {
            close(descriptor)
            throw .badInput(
                "The state file '\(path)' has format \(version), which a newer Vitrine wrote; this one reads up to \(StateFormat.version).")
        }
    }

    deinit { close(descriptor) }

    private static func read(_ descriptor: Int32, _ count: Int) -> [UInt8]? {
        var done = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
            while done < count {
                let got = Glibc.read(descriptor, buffer.baseAddress! + done, count - done)
                if got < 0, errno == EINTR { continue }
                guard got > 0 else { break }
                done += got
            }
            used = done
        }
        return done == count ? bytes : nil
    }

    func damaged(_ what: String) -> MachineError { .badInput("The state file '\(path)' is damaged: \(what).") }

    /// The next section that this program knows; nil: the end.
    func next() throws(MachineError) -> (kind: String, bytes: [UInt8])? {
        while true {
            guard left >= UInt64(StateFormat.headerBytes), let header = StateReader.read(descriptor, StateFormat.headerBytes) else {
                throw damaged("it ends too early")
            }
            left -= UInt64(header.count)
            guard StateFormat.isSealed(header), let kind = String(validating: header[0..<4], as: UTF8.self) else { throw damaged("a section has no head") }
            let stored = header.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) }
            let raw = header.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 16, as: UInt64.self)) }
            guard stored <= left else { throw damaged("section \(kind) ends too early") }
            left -= stored
            guard let limit = StateFormat.limit(kind) else {
                lseek(descriptor, off_t(stored), SEEK_CUR)
                continue
            }
            if kind == "END " { return nil }
            guard raw <= UInt64(limit), stored <= UInt64(limit) + 1024 else { throw damaged("section \(kind) is too large") }
            guard let packed = StateReader.read(descriptor, Int(stored)), let bytes = zstd.decompress(packed, count: Int(raw)) else {
                throw damaged("section \(kind) does not match its checksum")
            }
            return (kind, bytes)
        }
    }

    static func value(_ bytes: [UInt8]) throws(StateDecoder.Mismatch) -> StateValue {
        do throws(StateValue.Malformed) {
            return try StateValue(parsing: bytes)
        } catch {
            throw StateDecoder.Mismatch(reason: "it is malformed at byte \(error.at)")
        }
    }

    func parsed(_ kind: String, _ bytes: [UInt8]) throws(MachineError) -> StateValue {
        do throws(StateValue.Malformed) {
            return try StateValue(parsing: bytes)
        } catch {
            throw damaged("section \(kind) is malformed at byte \(error.at)")
        }
    }

    /// The sectors of a DISK section.
    func sectors(_ bytes: [UInt8], _ body: (Bay, UInt64, UnsafeRawBufferPointer) -> Bool) throws(MachineError) {
        let whole: Bool = bytes.withUnsafeBytes { raw in
            guard raw.count >= 8, let bay = Bay(rawValue: Int(UInt32(littleEndian: raw.loadUnaligned(as: UInt32.self)))) else { return false }
            let count = Int(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
            guard (1...DisposableLayer.sectorsInPiece).contains(count), raw.count > 8 + 8 * count else { return false }
            let size = (raw.count - 8 - 8 * count) / count
            guard size > 0, raw.count == 8 + count * (8 + size) else { return false }
            for n in 0..<count {
                let number = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: 8 + 8 * n, as: UInt64.self))
                let start = 8 + 8 * count + n * size
                guard body(bay, number, UnsafeRawBufferPointer(rebasing: raw[start..<start + size])) else { return false }
            }
            return true
        }
        if !whole { throw damaged("a section of sectors is malformed, or of another disk") }
    }

    /// The pages of a PAGE section, one by one.
    func pages(_ bytes: [UInt8], _ body: (Int, UnsafeRawBufferPointer) -> Bool) throws(MachineError) {
        try runs(bytes, wanted: { _ in true }) { first, pages in
            for at in stride(from: 0, to: pages.count, by: StateFormat.pageBytes) {
                guard body(first + at / StateFormat.pageBytes, UnsafeRawBufferPointer(rebasing: pages[at..<at + StateFormat.pageBytes])) else { return false }
            }
            return true
        }
    }

    /// The pages of a PAGE section that somebody wants; those that follow each other come together.
    func runs(_ bytes: [UInt8], wanted: (Int) -> Bool, _ body: (Int, UnsafeRawBufferPointer) -> Bool) throws(MachineError) {
        let whole: Bool = bytes.withUnsafeBytes { raw in
            guard raw.count >= 4 else { return false }
            let count = Int(UInt32(littleEndian: raw.loadUnaligned(as: UInt32.self)))
            guard count <= StateFormat.pagesPerSection, raw.count == 4 + count * (4 + StateFormat.pageBytes) else { return false }
            func number(_ n: Int) -> Int { Int(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 4 + 4 * n, as: UInt32.self))) }
            var n = 0
            while n < count {
                let first = number(n), begin = n
                n += 1
                guard wanted(first) else { continue }
                while n < count, number(n) == first + n - begin, wanted(first + n - begin) { n += 1 }
                let start = 4 + 4 * count
                let pages = raw[start + begin * StateFormat.pageBytes..<start + n * StateFormat.pageBytes]
                guard body(first, UnsafeRawBufferPointer(rebasing: pages)) else { return false }
            }
            return true
        }
        if !whole { throw damaged("a section of pages is malformed") }
    }
}
