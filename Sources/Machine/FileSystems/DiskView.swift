import Hardware

/// Why a file system cannot be read: a clause that begins in lower case.
struct FileSystemProblem: Error, Equatable {
    let reason: String
    init(_ reason: String) { self.reason = reason }
}

/// Bytes of a disk, or of a part of it, read through a small cache. Not for several threads.
final class DiskView {
    static let lineBytes: UInt64 = 32 << 10
    private static let mostLines = 256

    private let medium: any Medium
    /// Where the view begins on the disk.
    let start: UInt64
    let bytes: UInt64
    private var lines: [UInt64: [UInt8]] = [:]
    /// The lines by age; the oldest goes.
    private var order: [UInt64] = []
    private var next = 0

    init(_ medium: any Medium) {
        self.medium = medium
        start = 0
        bytes = medium.sectorCount.multipliedReportingOverflow(by: UInt64(medium.sectorBytes)).partialValue
    }

    /// A part; what lies behind the end of the disk is cut off.
    init(_ medium: any Medium, start: UInt64, bytes count: UInt64) {
        self.medium = medium
        let whole = medium.sectorCount.multipliedReportingOverflow(by: UInt64(medium.sectorBytes)).partialValue
        self.start = min(start, whole)
        bytes = min(count, whole - min(start, whole))
    }

    /// - Returns: nil: not all of it is in the view, or the host failed.
    func read(_ offset: UInt64, _ count: Int) -> [UInt8]? {
        guard count >= 0, offset <= bytes, UInt64(count) <= bytes - offset else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(count)
        var at = offset
        let end = offset + UInt64(count)
        while at < end {
            let index = at / DiskView.lineBytes
            guard let line = line(index) else { return nil }
            let from = Int(at % DiskView.lineBytes)
            let to = min(line.count, from + Int(end - at))
            guard from < to else { return nil }
            result += line[from..<to]
            at += UInt64(to - from)
        }
        return result
    }

    private func line(_ index: UInt64) -> [UInt8]? {
        if let line = lines[index] { return line }
        let from = index * DiskView.lineBytes
        // Whole sectors; the start of a partition is one.
        let sector = (start + from) / UInt64(medium.sectorBytes)
        let wanted = min(DiskView.lineBytes, bytes - from)
        let padded = (wanted + UInt64(medium.sectorBytes) - 1) / UInt64(medium.sectorBytes) * UInt64(medium.sectorBytes)
        var line = [UInt8](repeating: 0, count: Int(padded))
        guard (start + from) % UInt64(medium.sectorBytes) == 0, line.withUnsafeMutableBytes({ medium.read(sector: sector, into: $0) }) else {
            return nil
        }
        line.removeLast(Int(padded - wanted))
        if order.count < DiskView.mostLines {
            order.append(index)
        } else {
            lines[order[next]] = nil
            order[next] = index
            next = (next + 1) % DiskView.mostLines
        }
        lines[index] = line
        return line
    }
}
