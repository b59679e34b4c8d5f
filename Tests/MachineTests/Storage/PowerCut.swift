import Foundation
import Glibc

@testable import Machine

/// Numbers that are the same in every run.
struct Dice: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }
    mutating func below(_ limit: Int) -> Int { Int(next() >> 33) % max(1, limit) }
}

/// What a power cut leaves of recorded steps: everything that was waited for, and of the rest some.
struct PowerCut {
    /// Contents of the folder before the first step: path and bytes.
    var before: [String: [UInt8]]
    var steps: [FileRecorder.Step]

    init(before: [String: [UInt8]], steps: [FileRecorder.Step]) {
        (self.before, self.steps) = (before, steps.map(PowerCut.plain))
    }

    /// Steps at which names change or something is waited for: where cuts find most.
    var turns: [Int] {
        steps.indices.filter { index in
            switch steps[index] {
            case .create, .write, .zero, .truncate: false
            default: true
            }
        }
    }

    /// One file, one name: what an image says of the one below it leads to `snapshots/../disk.qcow2`.
    private static func plain(_ path: String) -> String {
        guard path.contains("/..") else { return path }
        var parts: [Substring] = []
        for part in path.split(separator: "/", omittingEmptySubsequences: false) {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return parts.joined(separator: "/")
    }

    private static func plain(_ step: FileRecorder.Step) -> FileRecorder.Step {
        switch step {
        case .create(let path): .create(path: plain(path))
        case .write(let path, let offset, let bytes): .write(path: plain(path), offset: offset, bytes: bytes)
        case .zero(let path, let offset, let count): .zero(path: plain(path), offset: offset, count: count)
        case .truncate(let path, let bytes): .truncate(path: plain(path), bytes: bytes)
        case .sync(let path): .sync(path: plain(path))
        case .rename(let from, let to): .rename(from: plain(from), to: plain(to))
        case .link(let from, let to): .link(from: plain(from), to: plain(to))
        case .unlink(let path): .unlink(path: plain(path))
        case .syncFolder(let path): .syncFolder(path: plain(path))
        case .mark: step
        }
    }

    private enum Change {
        case write(UInt64, [UInt8])
        case zero(UInt64, UInt64)
        case truncate(UInt64)
    }

    /// A file as the medium has it, and what is on its way there.
    private final class Node {
        var stored: [UInt8]
        var pending: [Change] = []
        init(_ bytes: [UInt8]) { stored = bytes }

        func apply(_ change: Change) {
            switch change {
            case .write(let offset, let bytes):
                let end = Int(offset) + bytes.count
                if stored.count < end { stored += [UInt8](repeating: 0, count: end - stored.count) }
                stored.replaceSubrange(Int(offset)..<end, with: bytes)
            case .zero(let offset, let count):
                let end = min(stored.count, Int(offset + count))
                if Int(offset) < end { stored.replaceSubrange(Int(offset)..<end, with: [UInt8](repeating: 0, count: end - Int(offset))) }
            case .truncate(let bytes):
                if stored.count > Int(bytes) { stored.removeLast(stored.count - Int(bytes)) }
                else { stored += [UInt8](repeating: 0, count: Int(bytes) - stored.count) }
            }
        }
        func settle() {
            pending.forEach(apply)
            pending = []
        }
        /// Any of what is on its way may arrive, each sector by itself.
        func cut(_ dice: inout Dice) {
            let mode = dice.below(4)
            for change in pending {
                switch change {
                case .write(let offset, let bytes) where mode > 1:
                    var at = 0
                    while at < bytes.count {
                        let sector = 512 - (Int(offset) + at) % 512
                        let count = min(sector, bytes.count - at)
                        if dice.below(2) == 0 { apply(.write(offset + UInt64(at), Array(bytes[at..<at + count]))) }
                        at += count
                    }
                default: if mode == 1 || (mode > 1 && dice.below(2) == 0) { apply(change) }
                }
            }
            pending = []
        }
    }

    /// A change of a folder's names, which is there as a whole or not at all.
    private struct Naming {
        var folder: String
        var changes: [(String, Node?)]
    }

    /// The folder after a cut behind the first `count` steps.
    func after(_ count: Int, _ dice: inout Dice) -> [String: [UInt8]] {
        var names: [String: Node] = before.mapValues { Node($0) }
        var durable = names
        var waiting: [Naming] = []
        func name(_ changes: (String, Node?)...) {
            for (path, node) in changes { names[path] = node }
            waiting.append(Naming(folder: WholeFile.directory(of: changes[0].0), changes: changes))
        }
        func settle(_ naming: Naming) {
            for (path, node) in naming.changes { durable[path] = node }
        }
        for step in steps.prefix(count) {
            switch step {
            case .create(let path): name((path, Node([])))
            case .write(let path, let offset, let bytes): names[path]?.pending.append(.write(offset, bytes))
            case .zero(let path, let offset, let count): names[path]?.pending.append(.zero(offset, count))
            case .truncate(let path, let bytes): names[path]?.pending.append(.truncate(bytes))
            case .sync(let path): names[path]?.settle()
            case .rename(let from, let to): name((to, names[from]), (from, nil))
            case .link(let from, let to): name((to, names[from]))
            case .unlink(let path): name((path, nil))
            case .syncFolder(let folder):
                waiting.filter { $0.folder == folder }.forEach(settle)
                waiting.removeAll { $0.folder == folder }
            case .mark: break
            }
        }
        // Names that were not waited for: all of them, none, or of each folder those until some moment.
        switch dice.below(3) {
        case 0: waiting.forEach(settle)
        case 1: break
        default:
            for folder in Set(waiting.map(\.folder)).sorted() {
                let namings = waiting.filter { $0.folder == folder }
                namings.prefix(dice.below(namings.count + 1)).forEach(settle)
            }
        }
        var files: [String: [UInt8]] = [:]
        for (path, node) in durable.sorted(by: { $0.key < $1.key }) {
            node.cut(&dice)
            files[path] = node.stored
        }
        return files
    }

    static func contents(_ folder: String) -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in FolderWork.names(folder) {
            let path = folder + "/" + name
            if let data = FileManager.default.contents(atPath: path) { files[path] = Array(data) }
        }
        return files
    }

    /// Makes the folder hold these files and no others, in place: the names in the images stay right.
    static func restore(_ files: [String: [UInt8]], in folder: String) throws {
        for name in FolderWork.names(folder) { unlink(folder + "/" + name) }
        for (path, bytes) in files {
            let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            defer { close(descriptor) }
            ftruncate(descriptor, bytes.count)
            // Holes where there are zeros: the files are mostly that.
            bytes.withUnsafeBytes { all in
                for at in stride(from: 0, to: all.count, by: 4096) {
                    let piece = UnsafeRawBufferPointer(rebasing: all[at..<min(at + 4096, all.count)])
                    if !piece.isZero { pwrite(descriptor, piece.baseAddress, piece.count, at) }
                }
            }
        }
    }
}
