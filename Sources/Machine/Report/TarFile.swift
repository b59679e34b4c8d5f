import Foundation

/// An archive of files as tar makes it, so that every system opens it without us.
///
/// Source: POSIX.1-2017, *pax*, section "ustar Interchange Format". Not implemented: folders, links, names beyond 100 bytes, sizes beyond 8 GiB.
enum TarFormat {
    static let block = 512
    static let sizeLimit: UInt64 = 1 << 33

    /// - Returns: nil: a name or a size that the format has no room for.
    static func header(_ name: String, bytes: UInt64, time: Int64) -> [UInt8]? {
        guard !name.isEmpty, name.utf8.count <= 100, bytes < sizeLimit else { return nil }
        var header = [UInt8](repeating: 0, count: block)
        func put(_ at: Int, _ text: String) { for (n, byte) in text.utf8.enumerated() { header[at + n] = byte } }
        func octal(_ value: UInt64, _ digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        put(0, name)
        put(100, octal(0o644, 7))
        put(108, octal(0, 7))
        put(116, octal(0, 7))
        put(124, octal(bytes, 11))
        put(136, octal(UInt64(max(0, time)) & 0o77777777777, 11))
        put(156, "0")
        put(257, "ustar")
        put(263, "00")
        put(148, octal(UInt64(checksum(header)), 6))
        header[155] = 0x20
        return header
    }

    /// Sum of all bytes, those of the sum itself as blanks.
    static func checksum(_ header: [UInt8]) -> Int {
        header.enumerated().reduce(0) { $0 + ((148..<156).contains($1.offset) ? 0x20 : Int($1.element)) }
    }

    /// An octal number that ends in a blank or zero byte, or fills its field.
    static func number(_ header: [UInt8], _ at: Int, _ count: Int) -> UInt64? {
        var value: UInt64 = 0, digits = 0
        for byte in header[at..<at + count] {
            if byte == 0 || byte == 0x20 {
                if digits == 0, byte == 0x20 { continue }
                break
            }
            guard (0x30...0x37).contains(byte), value < 1 << 60 else { return nil }
            value = value << 3 | UInt64(byte - 0x30)
            digits += 1
        }
        return digits > 0 ? value : nil
    }
}

/// Writes an archive: under a name of its own first, so that what has the final name is whole.
final class TarWriter {
    let path: String
    private let temporary: String
    private let what: String
    private var descriptor: Int32

    /// - Throws: `.failed`; nothing is left behind.
    init(_ path: String, what: String) throws(MachineError) {
        (self.path, self.what) = (path, what)
        temporary = path + ".\(getpid()).tmp"
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw failure(WholeFile.reason()) }
    }

    deinit { cancel() }

    /// Nothing is left behind.
    func cancel() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
        unlink(temporary)
    }

    func add(_ name: String, _ bytes: [UInt8], time: Int64) throws(MachineError) {
        try begin(name, UInt64(bytes.count), time)
        try put(bytes)
        try pad(UInt64(bytes.count))
    }

    /// A file of the host, as long as it is now.
    func add(_ name: String, file: String, time: Int64) throws(MachineError) {
        let source = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW)
        guard source >= 0 else { throw .failed("'\(file)' cannot be read for the \(what): \(WholeFile.reason()).") }
        defer { close(source) }
        var facts = stat()
        guard fstat(source, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else { throw .failed("'\(file)' is not a file for the \(what).") }
        let size = UInt64(max(0, facts.st_size))
        try begin(name, size, time)
        var left = size
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        while left > 0 {
            let wanted = Int(min(left, UInt64(buffer.count)))
            let count = buffer.withUnsafeMutableBytes { read(source, $0.baseAddress, wanted) }
            if count < 0, errno == EINTR { continue }
            // Cut short meanwhile: zeros, so that the archive stays one.
            let piece = count > 0 ? Array(buffer[..<count]) : [UInt8](repeating: 0, count: wanted)
            try put(piece)
            left -= UInt64(piece.count)
        }
        try pad(size)
    }

    func finish() throws(MachineError) {
        try put([UInt8](repeating: 0, count: 2 * TarFormat.block))
        var problem: Int32 = 0
        if fsync(descriptor) != 0 { problem = errno }
        if close(descriptor) != 0, problem == 0 { problem = errno }
        descriptor = -1
        if problem == 0, rename(temporary, path) != 0 { problem = errno }
        guard problem == 0 else {
            unlink(temporary)
            throw failure(WholeFile.reason(problem))
        }
        FolderWork.sync(WholeFile.directory(of: path))
    }

    private func begin(_ name: String, _ bytes: UInt64, _ time: Int64) throws(MachineError) {
        guard let header = TarFormat.header(name, bytes: bytes, time: time) else {
            cancel()
            throw .failed("The \(what) '\(path)' has no room for '\(name)'.")
        }
        try put(header)
    }

    private func pad(_ bytes: UInt64) throws(MachineError) {
        let rest = Int(bytes % UInt64(TarFormat.block))
        if rest > 0 { try put([UInt8](repeating: 0, count: TarFormat.block - rest)) }
    }

    private func put(_ bytes: [UInt8]) throws(MachineError) {
        guard WholeFile.writeAll(descriptor, bytes) else {
            let reason = WholeFile.reason()
            cancel()
            throw failure(reason)
        }
    }

    private func failure(_ reason: String) -> MachineError { .failed("The \(what) '\(path)' cannot be written: \(reason).") }
}

/// Reads an archive: where each file in it is. Nothing in it is believed.
struct TarReader {
    struct Entry: Equatable, Sendable {
        var name: String
        var start: UInt64
        var bytes: UInt64
    }
    let path: String
    private(set) var entries: [Entry] = []
    private static let entryLimit = 64

    /// - Throws: `.badInput` when it cannot be opened, or is no archive that is whole.
    init(_ path: String, what: String) throws(MachineError) {
        self.path = path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { throw .badInput("The \(what) '\(path)' cannot be opened: \(WholeFile.reason()).") }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else { throw .badInput("'\(path)' is not a \(what).") }
        let size = UInt64(max(0, facts.st_size)), block = UInt64(TarFormat.block)
        var at: UInt64 = 0
        while true {
            guard at + block <= size, let header = TarReader.read(descriptor, at, TarFormat.block) else {
                throw .badInput(at == 0 ? "'\(path)' is not a \(what)." : "The \(what) '\(path)' is cut short.")
            }
            if header.allSatisfy({ $0 == 0 }) { break }
            guard header[257..<262].elementsEqual("ustar".utf8), TarFormat.number(header, 148, 8) == UInt64(TarFormat.checksum(header)) else {
                throw .badInput(at == 0 ? "'\(path)' is not a \(what)." : "The \(what) '\(path)' is damaged at byte \(at).")
            }
            let name = String(decoding: header[..<100].prefix { $0 != 0 }, as: UTF8.self)
            guard let bytes = TarFormat.number(header, 124, 12), bytes <= size - at - block else {
                throw .badInput("The \(what) '\(path)' is cut short in '\(name)'.")
            }
            guard entries.count < TarReader.entryLimit else { throw .badInput("The \(what) '\(path)' has more files than a report has.") }
            if header[156] == 0x30 || header[156] == 0 { entries.append(Entry(name: name, start: at + block, bytes: bytes)) }
            at += block + (bytes + block - 1) / block * block
        }
    }

    subscript(_ name: String) -> Entry? { entries.first { $0.name == name } }

    /// - Throws: `.badInput` when it is larger than `limit` or cannot be read.
    func contents(_ entry: Entry, limit: Int) throws(MachineError) -> [UInt8] {
        guard entry.bytes <= UInt64(limit) else { throw .badInput("'\(entry.name)' in '\(path)' has \(entry.bytes) bytes, which is too much.") }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { throw .badInput("'\(path)' cannot be opened: \(WholeFile.reason()).") }
        defer { close(descriptor) }
        guard let bytes = TarReader.read(descriptor, entry.start, Int(entry.bytes)) else { throw .badInput("'\(path)' is cut short in '\(entry.name)'.") }
        return bytes
    }

    private static func read(_ descriptor: Int32, _ start: UInt64, _ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count), done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress.map { $0 + done }, count - done, off_t(start) + off_t(done)) }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { return nil }
            done += got
        }
        return bytes
    }
}
