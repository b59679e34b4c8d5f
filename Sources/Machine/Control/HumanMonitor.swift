import Foundation
import Hardware

/// `human-monitor-command`: one line for people in, text for people out; mistakes are text too.
enum HumanMonitor {
    private static let help = """
        c|cont -- go on
        change DEVICE FILE -- put a medium into a drive
        eject [-f] DEVICE -- take the medium out
        help|? -- this list
        info block|census|cpus|kvm|name|registers|status|version -- what the machine is and does
        q|quit -- power off and leave
        screendump [-f png|ppm] FILE -- the display as a file
        sendkey KEYS [MILLISECONDS] -- press keys together, as in ctrl-alt-delete
        s|stop -- pause
        system_powerdown -- press the ACPI power button
        system_reset -- reset

        """

    static func carryOut(_ line: String, _ call: inout QMPCall) -> QMPReply {
        let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
        guard let name = words.first else { return text("") }
        do throws(QMPError) {
            return try carryOut(name, Array(words.dropFirst()), line, &call)
        } catch {
            return text("Error: \(error.sentence)\n")
        }
    }

    private static func text(_ text: String) -> QMPReply { .now(.string(text.replacing("\n", with: "\r\n"))) }

    private static func carryOut(_ name: String, _ words: [String], _ line: String, _ call: inout QMPCall) throws(QMPError) -> QMPReply {
        switch name {
        case "info": return try info(words.first ?? "", &call)
        case "s", "stop": return plain(.pause, call)
        case "c", "cont": return plain(.resume, call)
        case "system_reset": return plain(.reset, call)
        case "system_powerdown": return plain(.acpiPowerButton, call)
        case "q", "quit": return plain(.powerOff, call)
        case "sendkey":
            guard let chord = words.first else { throw .generic("sendkey needs the names of keys") }
            let hold = words.count > 1 ? Int64(words[1]) : 100
            guard let hold else { throw .generic("'\(words[1])' is not a number of milliseconds") }
            var keys: [PCKey] = []
            for part in chord.split(separator: "-", omittingEmptySubsequences: true) { keys.append(try key(String(part))) }
            if chord == "-" || chord.hasSuffix("--") { keys.append(.minus) }
            try call.press(keys, milliseconds: hold)
            return text("")
        case "eject":
            guard let device = words.last, device != "-f" else { throw .generic("eject needs the name of a drive") }
            return plain(.eject(try QMPCall.drive(device)), call)
        case "change":
            guard words.count >= 2 else { throw .generic("change needs the name of a drive and a file") }
            // The file's name may hold blanks.
            guard let range = line.range(of: words[0]) else { return text("") }
            let path = line[range.upperBound...].trimmingCharacters(in: .whitespaces)
            return plain(.insert(try QMPCall.drive(words[0]), path: path), call)
        case "screendump":
            var words = words, format = "ppm"
            if words.first == "-f", words.count >= 2 {
                format = words[1]
                words.removeFirst(2)
            }
            guard let path = words.first else { throw .generic("screendump needs the name of a file") }
            try call.screendump(path, format)
            return text("")
        case "help", "?": return text(help)
        default: throw .generic("unknown command: '\(name)'; 'help' lists them")
        }
    }

    private static func key(_ name: String) throws(QMPError) -> PCKey {
        if name.hasPrefix("0x"), let number = Int64(name.dropFirst(2), radix: 16), let key = QMPKeys.key(number: number) { return key }
        guard let key = QMPKeys.key(named: name) else { throw .generic("unknown key: '\(name)'") }
        return key
    }

    private static func plain(_ command: MachineCommand, _ call: QMPCall) -> QMPReply {
        call.loop.perform(command, call.ticket) { error in .success(.string(error.map { "Error: \($0.description)\r\n" } ?? "")) }
        return .later(inOrder: true)
    }

    private static func info(_ what: String, _ call: inout QMPCall) throws(QMPError) -> QMPReply {
        let view = call.machine.view()
        switch what {
        case "status": return text("VM status: \(view.state.qemuName)\n")
        case "name": return text("\(view.name)\n")
        case "version": return text("Vitrine\n")
        case "kvm": return text("kvm support: not compiled\n")
        case "cpus": return text((0..<call.loop.subject.cpus).map { "\($0 == 0 ? "*" : " ") CPU #\($0)\n" }.joined())
        case "block":
            return text(
                QMPCommands.blocks(view).map { block in
                    let device = block["device"]?.string ?? "", file = block["inserted"]?["file"]?.string
                    let removable = block["removable"]?.bool == true ? "\n    Removable device: not locked, tray closed" : ""
                    return "\(device): \(file.map { "\($0) (raw)" } ?? "[not inserted]")\(removable)\n"
                }.joined(separator: "\n"))
        case "registers":
            guard let machine = call.loop.subject.running else { throw .generic("there are no registers") }
            let server = call.loop.server, ticket = call.ticket
            machine.registers { registers in
                server.deliver { $0.answer(ticket, .success(.string((registers ?? "").replacing("\n", with: "\r\n")))) }
            }
            return .later(inOrder: true)
        case "census":
            guard let machine = call.loop.subject.running else { throw .generic("there is no census") }
            let server = call.loop.server, ticket = call.ticket
            machine.census { census in
                let text = census.map { CensusReport.text($0) } ?? ""
                server.deliver { $0.answer(ticket, .success(.string(text.replacing("\n", with: "\r\n")))) }
            }
            return .later(inOrder: true)
        default: throw .generic("info knows block, census, cpus, kvm, name, registers, status and version")
        }
    }
}
